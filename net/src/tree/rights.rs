//! Who may do what.

use storage::settings::Roles;

/// What a client may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Look at everything, and read archives.
    pub read: bool,
    /// Give names, and have them proved.
    pub names: bool,
    /// Everything: write 9fat, remove names, give commands.
    pub admin: bool,
}

impl Rights {
    /// Whether it may do anything at all.
    pub fn any(self) -> bool {
        self.read || self.names || self.admin
    }

    /// Whether it may give names.
    pub fn may_name(self) -> bool {
        self.names || self.admin
    }
}

impl From<Roles> for Rights {
    fn from(roles: Roles) -> Rights {
        Rights { read: roles.read, names: roles.may_name(), admin: roles.admin }
    }
}

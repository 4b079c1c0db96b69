//! Who a node is, as its partition `nvram` says in 9front's layout.

use super::Identity;
use crate::auth::Account;
use crate::auth::nvram::{BadNvram, Nvram, RECORD_LEN};
use storage::device::{BlockDevice, DeviceError};

/// Why a node does not know who it is.
#[derive(Debug, thiserror::Error)]
pub enum NoIdentity {
    /// The partition cannot be read.
    #[error("nvram: {0}")]
    Device(#[from] DeviceError),
    /// It holds nothing that is good.
    #[error(transparent)]
    Record(#[from] BadNvram),
    /// It holds an account without the key that is needed.
    #[error("nvram: there is no key for dp9ik; write the record anew, with the account's password")]
    NoKey,
}

/// Reads who a node is. Takes a while: it makes the account's points.
///
/// # Errors
/// It is not there. [`BadNvram`] is what an empty partition gives.
pub async fn read_identity(nvram: &impl BlockDevice) -> Result<Identity, NoIdentity> {
    let sector = nvram.read(0, 1).await?;
    let Some(record) = sector.first_chunk::<RECORD_LEN>() else { return Err(NoIdentity::NoKey) };
    let Nvram { authid, authdom, aes_key, .. } = Nvram::parse(record)?;
    let key = aes_key.ok_or(NoIdentity::NoKey)?;
    Ok(Identity { account: Account::new(authid, &key), domain: authdom })
}

#[cfg(test)]
mod tests {
    use super::{NoIdentity, read_identity};
    use crate::auth::key::aes_key;
    use crate::auth::nvram::{Nvram, RECORD_LEN};
    use crate::auth::{Domain, UserName};
    use bytes::Bytes;
    use futures_util::FutureExt;
    use storage::device::{BlockDevice, DeviceError};

    /// One sector.
    struct Sector([u8; 512]);

    impl BlockDevice for Sector {
        fn sector_size(&self) -> u32 {
            512
        }

        fn sector_count(&self) -> u64 {
            1
        }

        async fn read(&self, _: u64, _: u32) -> Result<Bytes, DeviceError> {
            Ok(Bytes::copy_from_slice(&self.0))
        }

        async fn write(&self, _: u64, _: Bytes) -> Result<(), DeviceError> {
            Ok(())
        }

        async fn flush(&self) -> Result<(), DeviceError> {
            Ok(())
        }

        fn failed_flushes(&self) -> u64 {
            0
        }
    }

    #[test]
    fn a_node_is_who_its_nvram_says_if_that_has_a_key() {
        let read = |record: &[u8; RECORD_LEN]| {
            let mut sector = Sector([0; 512]);
            sector.0[..RECORD_LEN].copy_from_slice(record);
            read_identity(&sector).now_or_never().unwrap()
        };
        let mut record = [0; RECORD_LEN];
        assert!(matches!(read(&record), Err(NoIdentity::Record(_))));
        let mut nvram = Nvram {
            authid: UserName::new("venti").unwrap(),
            authdom: Domain::new("lab").unwrap(),
            aes_key: None,
            des_key: None,
            config: crate::auth::Secret::filled(|_| ()),
        };
        nvram.encode(&mut record);
        assert!(matches!(read(&record), Err(NoIdentity::NoKey)));
        nvram.aes_key = Some(aes_key(b"kept safe"));
        nvram.encode(&mut record);
        let identity = read(&record).unwrap();
        assert_eq!((identity.account.user().as_str(), identity.domain.as_str()), ("venti", "lab"));
    }
}

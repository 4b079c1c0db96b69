//! Who a node is, as its partition `nvram` says in 9front's layout.

use super::Identity;
use crate::auth::key::{AES_KEY_LEN, DES_KEY_LEN};
use crate::auth::nvram::{BadNvram, Nvram, RECORD_LEN};
use crate::auth::p9any;
use crate::auth::{Account, Domain, Secret, UserName};
use bytes::Bytes;
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
    /// A name that the record cannot hold.
    #[error("nvram: a user has 1 to 27 bytes, a domain 1 to 47 and no blank")]
    Names,
    /// The partition is too small for the record.
    #[error("nvram: its sectors are too short for the record")]
    Short,
    /// What is read is not what was written.
    #[error("nvram: what was written is not what is read there")]
    NotKept,
}

/// Reads who a node is; with `p9sk1` it speaks that as well, if it has a key for it. Takes a while: it makes the
/// account's points.
///
/// # Errors
/// It is not there. [`BadNvram`] is what an empty partition gives.
pub async fn read_identity(nvram: &impl BlockDevice, p9sk1: bool) -> Result<Identity, NoIdentity> {
    let sector = nvram.read(0, 1).await?;
    let Some(record) = sector.first_chunk::<RECORD_LEN>() else { return Err(NoIdentity::NoKey) };
    let Nvram { authid, authdom, aes_key, des_key, .. } = Nvram::parse(record)?;
    let account = Account::new(authid, &aes_key.ok_or(NoIdentity::NoKey)?);
    let account = match des_key.filter(|_| p9sk1) {
        Some(key) => account.with_p9sk1(key),
        None if p9sk1 => {
            log::warn!(
                "nvram: there is no key for p9sk1; write the record anew, with the account's password"
            );
            account
        }
        None => account,
    };
    Ok(Identity { account, domain: authdom })
}

/// Writes who a node is, and reads it back. What else Plan 9 keeps in the record stays.
///
/// # Errors
/// If the partition does not keep it, or a name is empty.
pub async fn write_identity(
    nvram: &impl BlockDevice,
    user: &UserName,
    domain: &Domain,
    aes_key: Secret<AES_KEY_LEN>,
    des_key: Option<Secret<DES_KEY_LEN>>,
) -> Result<(), NoIdentity> {
    if user.is_empty() || !p9any::can_be_offered(domain) {
        return Err(NoIdentity::Names);
    }
    let mut sector = nvram.read(0, 1).await?.to_vec();
    let record = sector.first_chunk_mut::<RECORD_LEN>().ok_or(NoIdentity::Short)?;
    let config = Nvram::parse(record).map_or_else(|_| Secret::filled(|_| ()), |before| before.config);
    let (authid, authdom) = (user.clone(), domain.clone());
    Nvram { authid, authdom, aes_key: Some(aes_key), des_key, config }.encode(record);
    let written = Bytes::from(sector);
    nvram.write(0, written.clone()).await?;
    nvram.flush().await?;
    if nvram.read(0, 1).await? == written { Ok(()) } else { Err(NoIdentity::NotKept) }
}

#[cfg(test)]
mod tests {
    use super::{NoIdentity, read_identity};
    use crate::auth::key::{aes_key, des_key};
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
            read_identity(&sector, true).now_or_never().unwrap()
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
        assert!(identity.account.des_key().is_none());
        nvram.des_key = Some(des_key(b"kept safe"));
        nvram.encode(&mut record);
        assert_eq!(read(&record).unwrap().account.des_key(), nvram.des_key.as_ref());
    }
}

//! The certificate authority of this machine, which signs the certificates of local clusters.
//!
//! Its key is only readable by the user, and leaves this machine never. Browsers trust it after `cmdr trust`.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use jiff::{Span, Timestamp, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use crate::domain::{
    digest::sha256,
    local_certificate::VALID_DAYS,
    secret::{Secret, SecretData},
};

/// The files of the authority in its folder.
const CERTIFICATE: &str = "ca.crt";
const KEY: &str = "ca.key";
/// How long the authority is valid. Nothing renews it, because every browser would have to trust the next one.
const AUTHORITY_YEARS: i64 = 10;
/// Clocks of virtual machines may be behind.
const CLOCK_DAYS: i64 = 1;

#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("cannot read or write {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("cannot use the local certificate authority in {}: {source}", path.display())]
    Unusable { path: PathBuf, source: rcgen::Error },
}

/// The authority of this machine.
#[derive(Debug, Clone)]
pub struct Authority {
    folder: PathBuf,
    /// Its certificate in PEM.
    pub certificate: String,
    key: Secret,
}

impl Authority {
    /// Returns the file of the certificate of an authority in `folder`.
    pub fn certificate_file(folder: &Path) -> PathBuf {
        folder.join(CERTIFICATE)
    }

    /// Returns the authority in `folder`; `None` if there is none yet.
    ///
    /// # Errors
    /// If its files cannot be read.
    pub fn open(folder: &Path) -> Result<Option<Self>, AuthorityError> {
        let read = |name: &str| {
            let path = folder.join(name);
            match fs::read_to_string(&path) {
                Ok(text) => Ok(Some(text)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(source) => Err(AuthorityError::File { path, source }),
            }
        };
        let found = read(CERTIFICATE)?.zip(read(KEY)?);
        Ok(found.map(|(certificate, key)| Self { folder: folder.to_owned(), certificate, key: Secret::new(key) }))
    }

    /// Returns the authority in `folder`, which is created if there is none.
    ///
    /// # Errors
    /// If its files cannot be read or written.
    pub fn open_or_create(folder: &Path) -> Result<Self, AuthorityError> {
        if let Some(found) = Self::open(folder)? {
            return Ok(found);
        }
        let unusable = |source| AuthorityError::Unusable { path: folder.to_owned(), source };
        let key = KeyPair::generate().map_err(unusable)?;
        let certificate = authority_parameters(&key).and_then(|it| it.self_signed(&key)).map_err(unusable)?;
        write(folder, &certificate.pem(), &key.serialize_pem())
            .map_err(|source| AuthorityError::File { path: folder.to_owned(), source })?;
        // Another run may have been faster: its authority counts.
        Self::open(folder)?.ok_or_else(|| AuthorityError::File {
            path: folder.to_owned(),
            source: io::Error::from(io::ErrorKind::NotFound),
        })
    }

    /// Returns the name that shows which authority it is among those of other machines: `cmdr local authority 1a2b3c4d`.
    ///
    /// # Errors
    /// If its key is damaged.
    pub fn name(&self) -> Result<String, AuthorityError> {
        Ok(name_of(&self.key_pair()?))
    }

    /// Returns a hash of the certificate.
    pub fn fingerprint(&self) -> String {
        sha256(self.certificate.as_bytes())
    }

    /// Signs a new key for `hosts`, as the content of a Secret of type `kubernetes.io/tls`.
    ///
    /// # Errors
    /// If the key of the authority is damaged, or a host is not a valid DNS name.
    pub fn issue(&self, hosts: &[String], now: Timestamp) -> Result<SecretData, AuthorityError> {
        let own_key = self.key_pair()?;
        let issued = authority_parameters(&own_key).and_then(|authority| {
            let key = KeyPair::generate()?;
            let mut leaf = parameters(hosts.to_vec(), (now, VALID_DAYS))?;
            leaf.distinguished_name.push(DnType::CommonName, "cmdr local cluster");
            leaf.use_authority_key_identifier_extension = true;
            leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            let certificate = leaf.signed_by(&key, &Issuer::new(authority, &own_key))?;
            Ok((certificate.pem(), key.serialize_pem()))
        });
        let (certificate, key) = issued.map_err(|source| self.unusable(source))?;
        let entries = [("tls.crt", certificate), ("tls.key", key)];
        Ok(entries.map(|(name, value)| (name.to_owned(), Secret::new(value))).into())
    }

    fn key_pair(&self) -> Result<KeyPair, AuthorityError> {
        KeyPair::from_pem(self.key.expose()).map_err(|source| self.unusable(source))
    }

    fn unusable(&self, source: rcgen::Error) -> AuthorityError {
        AuthorityError::Unusable { path: self.folder.clone(), source }
    }
}

fn name_of(key: &KeyPair) -> String {
    format!("cmdr local authority {}", &sha256(key.public_key_raw())[..8])
}

fn authority_parameters(key: &KeyPair) -> Result<CertificateParams, rcgen::Error> {
    let mut authority = parameters(Vec::new(), (Timestamp::now(), AUTHORITY_YEARS * 365))?;
    authority.distinguished_name.push(DnType::CommonName, name_of(key));
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(authority)
}

/// The parameters of a certificate that is valid for some days from now on.
fn parameters(hosts: Vec<String>, (now, days): (Timestamp, i64)) -> Result<CertificateParams, rcgen::Error> {
    let date = |days: i64| {
        let moment = now.to_zoned(TimeZone::UTC).saturating_add(Span::new().days(days));
        let part = |number: i8| u8::try_from(number).unwrap_or(1);
        date_time_ymd(moment.year().into(), part(moment.month()), part(moment.day()))
    };
    let mut parameters = CertificateParams::new(hosts)?;
    parameters.distinguished_name = DistinguishedName::new();
    (parameters.not_before, parameters.not_after) = (date(-CLOCK_DAYS), date(days));
    Ok(parameters)
}

/// Writes the files so that a run beside this one sees both or none.
fn write(folder: &Path, certificate: &str, key: &str) -> io::Result<()> {
    let parent = folder.parent().unwrap_or(folder);
    fs::create_dir_all(parent)?;
    let draft = tempfile::Builder::new().prefix(".authority-").tempdir_in(parent)?;
    let own = draft.path().join("authority");
    fs::DirBuilder::new().mode(0o700).create(&own)?;
    for (name, content) in [(CERTIFICATE, certificate), (KEY, key)] {
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(own.join(name));
        file?.write_all(content.as_bytes())?;
    }
    match fs::rename(&own, folder) {
        Err(error) if !folder.join(KEY).exists() => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn an_authority_is_created_once_and_only_the_user_reads_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("authority");
        assert!(Authority::open(&folder).unwrap().is_none());
        let made = Authority::open_or_create(&folder).unwrap();
        let found = Authority::open_or_create(&folder).unwrap();
        assert_eq!((made.fingerprint(), made.name().unwrap()), (found.fingerprint(), found.name().unwrap()));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join(KEY))), (0o700, 0o600));
        assert!(!format!("{made:?}").contains("PRIVATE"), "a key is never shown");
    }

    #[test]
    fn a_certificate_is_signed_for_its_hosts() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open_or_create(&folder.path().join("authority")).unwrap();
        let hosts = ["*.tunes.localhost", "tunes.localhost"].map(str::to_owned);
        let issued = authority.issue(&hosts, Timestamp::now()).unwrap();
        assert!(issued["tls.crt"].expose().starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(issued["tls.key"].expose().contains("PRIVATE KEY"));
        assert!(authority.issue(&["kein host ö".to_owned()], Timestamp::now()).is_err());
    }
}

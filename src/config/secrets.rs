//! Reads secrets from where they are kept: the environment, or files.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretSlice, SecretString};

use super::text::without_mark;
use crate::model::secret::{SecretError, SecretRef, as_text};

/// The most bytes of a secret, which is more than any password or certificate chain has. A
/// reference to a device or a log must not fill the memory.
const LARGEST: u64 = 1024 * 1024;

/// Reads a secret's bytes. The line end that editors put behind a file's last line is no part of
/// it, nor is a byte order mark before its first. Blocks on the file system.
pub fn read(from: &SecretRef) -> Result<SecretSlice<u8>, SecretError> {
    match from {
        SecretRef::Env(name) => {
            let value = std::env::var_os(name).ok_or_else(|| SecretError::NotSet(name.clone()))?;
            checked(value.into_encoded_bytes(), from)
        }
        SecretRef::File(path) => {
            let content = File::open(path).and_then(content);
            let bytes = content.map_err(|error| SecretError::Unreadable {
                path: path.clone(),
                kind: error.kind(),
            })?;
            checked(bytes, from)
        }
        SecretRef::Stored(_) => Err(SecretError::OutOfReach(from.clone())),
    }
}

/// Reads a secret's bytes from standard input, to its end.
pub fn read_stdin() -> Result<SecretSlice<u8>, SecretError> {
    let path = PathBuf::from("/dev/stdin");
    let bytes = content(io::stdin().lock()).map_err(|error| SecretError::Unreadable {
        path: path.clone(),
        kind: error.kind(),
    })?;
    checked(bytes, &SecretRef::File(path))
}

/// Reads a secret that must be text, such as a password or a URL.
pub fn read_text(from: &SecretRef) -> Result<SecretString, SecretError> {
    as_text(from, &read(from)?)
}

fn content(stream: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.take(LARGEST + 3).read_to_end(&mut bytes)?;
    // In a binary file, such as PKCS#12, the same bytes may be its own.
    if std::str::from_utf8(&bytes).is_ok() {
        let mark = bytes.len() - without_mark(&bytes).len();
        bytes.drain(..mark);
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
    }
    Ok(bytes)
}

fn checked(bytes: Vec<u8>, from: &SecretRef) -> Result<SecretSlice<u8>, SecretError> {
    let secret = SecretSlice::from(bytes);
    let size = secret.expose_secret().len();
    if size == 0 {
        return Err(SecretError::Empty(from.clone()));
    }
    if size as u64 > LARGEST {
        return Err(SecretError::TooLarge(from.clone(), LARGEST));
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::{read, read_text};
    use crate::model::secret::{SecretError, SecretRef};

    #[test]
    fn a_secret_is_read_without_the_files_last_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let from = SecretRef::parse(&format!("file:{}", path.display())).unwrap();
        for (content, expected) in [
            ("a:b\n", "a:b"),
            ("a:b\r\n", "a:b"),
            ("a\n\n", "a\n"),
            (" a", " a"),
            ("\u{feff}a:b\r\n", "a:b"),
        ] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(read_text(&from).unwrap().expose_secret(), expected);
        }
        let binary = [0x30, 0x82, b'\r', b'\n'];
        std::fs::write(&path, binary).unwrap();
        assert_eq!(read(&from).unwrap().expose_secret(), binary);
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(read(&from), Err(SecretError::Empty(_))));
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(matches!(read_text(&from), Err(SecretError::NotText(_))));
        std::fs::remove_file(&path).unwrap();
        let error = read(&from).unwrap_err().to_string();
        assert!(error.contains("entity not found"), "{error}");

        let unset = SecretRef::Env("POSTHORN_TEST_IS_NOT_SET".to_owned());
        assert!(matches!(read(&unset), Err(SecretError::NotSet(_))));
    }
}

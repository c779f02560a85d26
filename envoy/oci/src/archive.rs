//! The layer of the compatible image: a gzipped tar with one file, the same bytes whoever makes it, wherever and
//! whenever.

use std::io::{self, Write};

use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

use crate::ImageError;
use crate::artifact::sha256;

/// What the meshes look for in the layer.
pub const PLUGIN: &str = "plugin.wasm";

/// RFC 1952: the system is not known, so it is the same everywhere.
const UNKNOWN_SYSTEM: u8 = 255;

/// A layer, and the digest of what it unpacks to, which the image's configuration names.
#[derive(Debug)]
pub struct Layer {
    /// The gzipped tar.
    pub gzip: Vec<u8>,
    /// The digest of the tar.
    pub diff_id: String,
}

/// The module as a layer.
///
/// # Errors
/// When the archive cannot be written, as for a module of more than the 8 GiB that a header can say.
pub fn layer(module: &[u8]) -> Result<Layer, ImageError> {
    let tar = tar_of(module).map_err(ImageError::Archive)?;
    let gzip = gzip_of(&tar).map_err(ImageError::Archive)?;
    Ok(Layer {
        gzip,
        diff_id: sha256(&tar),
    })
}

fn tar_of(module: &[u8]) -> io::Result<Vec<u8>> {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_path(PLUGIN)?;
    header.set_size(u64::try_from(module.len()).map_err(io::Error::other)?);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    let mut tar = Builder::new(Vec::new());
    tar.append(&header, module)?;
    tar.into_inner()
}

fn gzip_of(tar: &[u8]) -> io::Result<Vec<u8>> {
    let mut gzip = GzBuilder::new()
        .mtime(0)
        .operating_system(UNKNOWN_SYSTEM)
        .write(Vec::new(), Compression::best());
    gzip.write_all(tar)?;
    gzip.finish()
}

/// The module in a layer.
///
/// # Errors
/// When it is no gzipped tar, or has no `plugin.wasm`.
pub fn module_in(gzip: &[u8]) -> io::Result<Vec<u8>> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(gzip));
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.path()?.as_os_str() == PLUGIN {
            let mut module = Vec::new();
            io::copy(&mut entry, &mut module)?;
            return Ok(module);
        }
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        format!("no `{PLUGIN}` in the layer"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layer_holds_the_module_and_nothing_else() {
        let layer = layer(b"\0asm\x01\0\0\0").unwrap();
        assert_eq!(module_in(&layer.gzip).unwrap(), b"\0asm\x01\0\0\0");
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&layer.gzip[..]));
        let entries: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                (
                    entry.path().unwrap().display().to_string(),
                    header.mode().unwrap(),
                    header.uid().unwrap(),
                    header.gid().unwrap(),
                    header.mtime().unwrap(),
                )
            })
            .collect();
        assert_eq!(entries, [("plugin.wasm".to_owned(), 0o644, 0, 0, 0)]);
    }

    #[test]
    fn gzip_header_tells_neither_time_nor_system() {
        let layer = layer(b"\0asm").unwrap();
        // RFC 1952, section 2.3: magic, method, flags, four bytes of time, extra flags, system.
        assert_eq!(layer.gzip[..8], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
        assert_eq!(layer.gzip[9], UNKNOWN_SYSTEM);
    }

    #[test]
    fn layer_without_the_module_is_refused() {
        let mut tar = Builder::new(Vec::new());
        let mut header = Header::new_ustar();
        header.set_path("other.wasm").unwrap();
        header.set_size(0);
        header.set_cksum();
        tar.append(&header, &b""[..]).unwrap();
        let gzip = gzip_of(&tar.into_inner().unwrap()).unwrap();
        assert_eq!(
            module_in(&gzip).unwrap_err().to_string(),
            "no `plugin.wasm` in the layer"
        );
    }
}

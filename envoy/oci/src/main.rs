//! `svidgate-image`: what `make image`, `make push`, `make sign` and `make verify-image` run.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use jiff::Timestamp;
use svidgate_image::ImageError;
use svidgate_image::artifact::sha256;
use svidgate_image::bill::Bill;
use svidgate_image::forms::{Form, Image, Parts, images};
use svidgate_image::layout;
use svidgate_image::registry::Repository;
use svidgate_image::signature::{self, Signed};
use zeroize::Zeroizing;

/// Makes, pushes, signs and verifies the OCI images of the module.
#[derive(Debug, Parser)]
#[command(name = "svidgate-image")]
struct Arguments {
    /// The workspace of the module.
    #[arg(long, default_value = ".")]
    workspace: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes the images as an OCI layout.
    Image {
        /// The module.
        #[arg(long)]
        module: PathBuf,
        /// The directory of the layout.
        #[arg(long)]
        out: PathBuf,
    },
    /// Pushes the images, and attaches SBOM and licences.
    Push {
        /// The module.
        #[arg(long)]
        module: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Signs the images in a registry. The key's password is in `COSIGN_PASSWORD`.
    Sign {
        /// The private key, as cosign or openssl writes it.
        #[arg(long)]
        key: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Verifies the images in a registry: signature, then bytes.
    Verify {
        /// The public key.
        #[arg(long)]
        key: PathBuf,
        /// Where to write the verified module.
        #[arg(long)]
        out: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
    /// Makes a key: `cosign.key` and `cosign.pub`. Its password is in `COSIGN_PASSWORD`.
    GenerateKey {
        /// Where.
        #[arg(long, default_value = ".")]
        out: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct Place {
    /// `host/name` or `host:port/name`.
    repository: String,
    /// The tag of the compatible image; the Wasm artifact has the same with `-wasm`. Default: the module's version.
    #[arg(long)]
    tag: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("svidgate-image: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), ImageError> {
    let workspace = arguments.workspace;
    match arguments.command {
        Command::Image { module, out } => image(&workspace, &module, &out),
        Command::Push { module, place } => push(&workspace, &module, &place).await,
        Command::Sign { key, place } => sign(&workspace, &key, &place).await,
        Command::Verify { key, out, place } => verify(&workspace, &key, out.as_deref(), &place).await,
        Command::GenerateKey { out } => generate_key(&out),
    }
}

fn image(workspace: &Path, module: &Path, out: &Path) -> Result<(), ImageError> {
    let (parts, images) = made(workspace, module)?;
    layout::write(out, &images, parts.bill.version())?;
    println!("module {}", sha256(&parts.module));
    for image in &images {
        println!("{} {}", image.form.tag(parts.bill.version()), image.artifact.digest());
        for referrer in &image.referrers {
            println!(
                "  {} {}",
                referrer.artifact_type.as_deref().unwrap_or_default(),
                referrer.digest()
            );
        }
    }
    Ok(())
}

async fn push(workspace: &Path, module: &Path, place: &Place) -> Result<(), ImageError> {
    let repository = Repository::new(&place.repository)?;
    let (parts, images) = made(workspace, module)?;
    let version = place.tag.as_deref().unwrap_or(parts.bill.version());
    for image in &images {
        let pushed = repository.push(image, &image.form.tag(version)).await?;
        println!("{} {}", pushed.reference, pushed.digest);
        for (kind, digest) in pushed.referrers {
            println!("  {kind} {digest}");
        }
    }
    Ok(())
}

async fn sign(workspace: &Path, key: &Path, place: &Place) -> Result<(), ImageError> {
    let repository = Repository::new(&place.repository)?;
    let version = version(workspace, place)?;
    for form in Form::ALL {
        let tag = form.tag(&version);
        match signature::sign(&repository, &tag, key, &password()).await? {
            Signed::New { digest, tag: signature } => println!("signed {tag} {digest} in {signature}"),
            Signed::Already { digest } => println!("signed already {tag} {digest}"),
        }
    }
    Ok(())
}

async fn verify(workspace: &Path, key: &Path, out: Option<&Path>, place: &Place) -> Result<(), ImageError> {
    let repository = Repository::new(&place.repository)?;
    let version = version(workspace, place)?;
    for form in Form::ALL {
        let verified = signature::verify(&repository, &form.tag(&version), key).await?;
        println!("verified {} {}", verified.reference, verified.digest);
        println!("  module sha256 {}", verified.module_sha256);
        for referrer in repository.referrers(&verified.digest).await? {
            println!(
                "  attached {} {}",
                referrer.artifact_type.unwrap_or_default(),
                referrer.digest
            );
        }
        if let Some(path) = out {
            fs::write(path, &verified.module).map_err(|source| unwritten(path, source))?;
        }
    }
    Ok(())
}

fn generate_key(out: &Path) -> Result<(), ImageError> {
    let files = signature::generate_key(out, &password())?;
    println!("{}\n{}", files.private.display(), files.public.display());
    Ok(())
}

fn made(workspace: &Path, module: &Path) -> Result<(Parts, Vec<Image>), ImageError> {
    let bytes = fs::read(module).map_err(|source| unwritten(module, source))?;
    if !bytes.starts_with(b"\0asm") {
        return Err(ImageError::NotAModule {
            path: module.to_owned(),
        });
    }
    let parts = Parts {
        module: bytes,
        bill: Bill::read(workspace)?,
        created: created()?,
    };
    let images = images(&parts)?;
    Ok((parts, images))
}

/// The one time in the images, as reproducible builds have it: what `SOURCE_DATE_EPOCH` says, else 1970.
fn created() -> Result<Timestamp, ImageError> {
    let Some(text) = env::var_os("SOURCE_DATE_EPOCH") else {
        return Ok(Timestamp::UNIX_EPOCH);
    };
    let text = text.to_string_lossy().into_owned();
    let seconds = text
        .parse()
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok());
    seconds.ok_or(ImageError::SourceDate(text))
}

fn version(workspace: &Path, place: &Place) -> Result<String, ImageError> {
    match &place.tag {
        Some(tag) => Ok(tag.clone()),
        None => Ok(Bill::read(workspace)?.version().to_owned()),
    }
}

fn password() -> Zeroizing<Vec<u8>> {
    Zeroizing::new(env::var("COSIGN_PASSWORD").unwrap_or_default().into_bytes())
}

fn unwritten(path: &Path, source: std::io::Error) -> ImageError {
    ImageError::File {
        path: path.to_owned(),
        source,
    }
}

//! Packs the pages of the documentation into one compressed file, which the program embeds.

use std::{env, error::Error, fs, io::Write, path::Path};

use flate2::{Compression, write::DeflateEncoder};

/// Pages for contributors, which `cmdr docs` does not print.
const LEFT_OUT: [&str; 2] = ["design", "style"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=docs");
    println!("cargo::rerun-if-changed=README.md");
    let mut pages = vec![("readme".to_owned(), fs::read_to_string("README.md")?)];
    for file in fs::read_dir("docs")? {
        let path = file?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let is_page = path.extension().is_some_and(|extension| extension == "md");
        if is_page && !LEFT_OUT.iter().any(|start| name.starts_with(start)) {
            pages.push((name, fs::read_to_string(&path)?));
        }
    }
    pages[1..].sort();
    let file = fs::File::create(Path::new(&env::var("OUT_DIR")?).join("docs.deflate"))?;
    let mut archive = DeflateEncoder::new(file, Compression::best());
    archive.write_all(serde_json::to_string(&pages)?.as_bytes())?;
    archive.finish()?;
    Ok(())
}

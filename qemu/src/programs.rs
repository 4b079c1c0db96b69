//! Where the programs of one build lie, and how `granary` is called.

use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The files of one build, side by side in the target folder.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The host command.
    pub granary: PathBuf,
    /// The kernel.
    pub kernel: PathBuf,
    /// The folder that holds the project's sources.
    pub root: PathBuf,
    /// The folder for images that stay.
    pub target: PathBuf,
}

impl Programs {
    /// The programs beside this one; the kernel, which is built for speed alone, may lie beside their folder, in
    /// `release`. `root` is the project's folder.
    pub fn beside_this_one(root: PathBuf) -> Result<Programs> {
        let here = std::env::current_exe()?;
        let folder = here.parent().context("this program has no folder")?;
        let target = folder.parent().unwrap_or(folder).to_owned();
        let kernel = [folder, &target.join("release")].map(|folder| folder.join("granary-kernel"));
        let kernel = kernel.iter().find(|kernel| kernel.exists()).unwrap_or(&kernel[0]).clone();
        let programs = Programs { granary: folder.join("granary"), kernel, target, root };
        for file in [&programs.granary, &programs.kernel] {
            ensure!(file.exists(), "{} is not built: run ./qemu/run without --no-build", file.display());
        }
        Ok(programs)
    }

    /// Runs `granary` with its progress on the terminal; gives its standard output.
    pub fn granary(&self, arguments: &[&str], folder: &Path) -> Result<String> {
        let output = Command::new(&self.granary)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .with_context(|| format!("cannot start {}", self.granary.display()))?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!("granary {} failed ({}): {}", arguments.join(" "), output.status, errors.trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Makes a bootable image.
    pub fn create_image(&self, file: &Path, size: &str, settings: &[String], more: &[&str]) -> Result<()> {
        let file = file.to_str().context("the image's path is not UTF-8")?;
        let kernel = self.kernel.to_str().context("the kernel's path is not UTF-8")?;
        let mut arguments = vec!["image", "create", file, "--size", size, "--kernel", kernel];
        for setting in settings {
            arguments.extend(["--set", setting]);
        }
        arguments.extend(more);
        self.granary(&arguments, &self.root)?;
        Ok(())
    }

    /// Archives the tree in `folder`; gives `vac:SCORE`.
    pub fn vac(&self, host: &str, folder: &Path) -> Result<String> {
        let output = self.granary(&["vac", "--host", host, "."], folder)?;
        let score = output.split_whitespace().find(|word| word.starts_with("vac:"));
        Ok(score.with_context(|| format!("granary vac printed no score: {output}"))?.to_owned())
    }

    /// Restores an archive into `folder`, which is made.
    pub fn unvac(&self, host: &str, score: &str, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        self.granary(&["unvac", "--host", host, score], folder)?;
        Ok(())
    }
}

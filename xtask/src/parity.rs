//! `cargo xtask parity`: the numbers of `PyTorch`, Transformers, PEFT and TRL, made anew and compared.
//!
//! The default tests compare with fixtures in the tree and do without Python's torch. Here the
//! fixtures themselves are made again, and what needs the real libraries is run: PEFT reads an
//! adapter that was written here, TRL trains under the plugin `trl`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::libtorch::cache;
use crate::steps::{Summary, cargo, program, root, run};
use crate::tools::{self, python};

/// What the fixtures were made with. `PyTorch` is the version of the libtorch in use.
const REQUIREMENTS: &[&str] = &[
    "torch==2.11.0",
    "transformers==5.24.0",
    "peft==0.21.2",
    "trl==1.16.0",
    "accelerate==1.15.0",
    "gguf==0.17.1",
];

const MODELS: &str = "plugins/common/llama/tests/parity";
const TRAINING: &str = "plugins/trainer-tch/tests/parity";
const QUANTS: &str = "plugins/common/weights/tests/fixtures";

/// Shows the versions that the numbers are of.
const VERSIONS: &str = "
import platform
from importlib.metadata import version
names = ('torch', 'transformers', 'peft', 'trl', 'accelerate', 'gguf')
print(f'Python {platform.python_version()}', *(f'{name} {version(name)}' for name in names), sep=', ')
";

/// `--python PATH` takes an environment as it is; `--bless` puts what was made into the tree.
pub(crate) fn parity(arguments: &[OsString]) -> Result<()> {
    let (mut given, mut bless) = (None, false);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--python") => {
                given = Some(PathBuf::from(
                    arguments.next().context("`--python` needs a path")?,
                ));
            }
            Some("--bless") => bless = true,
            _ => bail!("`{}` is no argument of parity", argument.display()),
        }
    }
    let environment = tools::set_up()?;
    let python = match given {
        Some(path) => path,
        None => set_up_python()?,
    };
    run(program(&python).args(["-c", VERSIONS])).context(
        "this Python lacks something; without `--python` an environment is made with all of it",
    )?;
    let place = Place::new()?;
    let mut summary = Summary::default();
    let made = summary.step("fixtures", || make(&python, &place.0));
    if !made {
        return summary.end();
    }
    let [models, training, quants] = ["models", "training", "quants.json"].map(|n| place.path(n));
    summary.step("fixtures are as in the tree", || {
        let quants_here = format!("{QUANTS}/quants.json");
        let compared = [&models, MODELS, &training, TRAINING, &quants, &quants_here];
        run(program(&python)
            .arg("xtask/parity/compare.py")
            .args(compared))
    });
    if bless {
        summary.step("into the tree", || {
            let from = |folder: &str| format!("{folder}/.");
            run(program("cp").args(["-r", &from(&models), MODELS]))?;
            run(program("cp").args(["-r", &from(&training), TRAINING]))?;
            run(program("cp").args([&quants, QUANTS]))
        });
    }
    let adapter = place.path("adapter");
    let tested = summary.step("the same numbers here", || {
        let packages = ["tale-weights", "tale-llama", "tale-trainer-tch"];
        run(cargo(&environment)
            .args(["test", "--release"])
            .args(packages.iter().flat_map(|name| ["-p", name]))
            .args(["--lib", "--test", "parity", "--", "--nocapture"])
            .env("TALE_PARITY_ADAPTER", &adapter))
    });
    if tested {
        summary.step("PEFT reads our adapter", || {
            let (base, fixture) = (format!("{MODELS}/qwen2"), format!("{TRAINING}/sft.json"));
            let arguments = [base.as_str(), &adapter, &fixture];
            run(&mut script(
                &python,
                &format!("{TRAINING}/check_peft.py"),
                &arguments,
            ))
        });
    } else {
        summary.skip("PEFT reads our adapter");
    }
    summary.step("TRL trains under the plugin `trl`", || {
        // The library of `tch` is built too, and both trainers begin with the same loss.
        run(cargo(&environment).args(["build", "--release", "-p", "tale-trainer-tch"]))?;
        run(cargo(&environment)
            .args([
                "test",
                "--release",
                "-p",
                "tale-trainer-trl",
                "--test",
                "real",
                "--",
            ])
            // One at a time: each is a process with torch in it.
            .args(["--nocapture", "--test-threads", "1"])
            .env("TALE_TRL_PYTHON", std::path::absolute(&python)?))
    });
    summary.end()
}

/// A folder that goes away with the command.
struct Place(PathBuf);

impl Place {
    fn new() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("tale-parity-{}", std::process::id()));
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(Self(folder))
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn script(python: &Path, path: &str, arguments: &[&str]) -> std::process::Command {
    let mut command = program(python);
    command.arg(path).args(arguments);
    // One thread: sums are made in the same order each time.
    command.env("OMP_NUM_THREADS", "1");
    command
}

/// Makes all fixtures in `folder`.
fn make(python: &Path, folder: &Path) -> Result<()> {
    let [models, training] = ["models", "training"].map(|name| folder.join(name));
    let (models, training) = (models.to_string_lossy(), training.to_string_lossy());
    let qwen = format!("{models}/qwen2");
    run(&mut script(
        python,
        &format!("{MODELS}/make.py"),
        &[&models],
    ))?;
    let arguments = [qwen.as_str(), &training];
    run(&mut script(
        python,
        &format!("{TRAINING}/make.py"),
        &arguments,
    ))?;
    let quants = script(python, &format!("{QUANTS}/quants.py"), &[])
        .stderr(std::process::Stdio::inherit())
        .output()?;
    if !quants.status.success() {
        bail!("quants.py: {}", quants.status);
    }
    Ok(std::fs::write(folder.join("quants.json"), quants.stdout)?)
}

/// A Python environment in the user's cache directory, made once; `pip` brings it up to the
/// requirements, from where `pip` is configured to take them.
fn set_up_python() -> Result<PathBuf> {
    let home = cache()?.join("tale/parity");
    let own = home.join("bin/python");
    if !own.is_file() {
        eprintln!(
            "making a Python environment in {} (gigabytes, once)",
            home.display()
        );
        let made = std::process::Command::new(python()?)
            .current_dir(root())
            .args(["-m", "venv"])
            .arg(&home)
            .status()?;
        if !made.success() {
            bail!(
                "no environment: Python's `venv` is missing (Debian: `apt-get install python3-venv`)"
            );
        }
    }
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ];
    run(program(&own).args(pip).args(REQUIREMENTS))?;
    Ok(own)
}

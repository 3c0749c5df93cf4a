//! `cargo xtask parity`: the numbers of `PyTorch`, Transformers and PEFT, made anew and compared.
//!
//! The fixtures in the tree are what this wrote last, so that the default tests do without Python's
//! torch. Git shows what a newer version changes.

use std::path::PathBuf;

use anyhow::Result;

use crate::steps::{Summary, cargo, program, root, run};
use crate::tools::{self, Wheel, python};

/// What the fixtures were made with. `PyTorch` is the version of the libtorch in use.
const REQUIREMENTS: &[&str] = &[
    "torch==2.11.0",
    "transformers==5.24.0",
    "peft==0.21.2",
    "gguf==0.17.1",
];

const MODELS: &str = "plugins/common/llama/tests/parity";
const TRAINING: &str = "plugins/trainer-tch/tests/parity";
const QUANTS: &str = "plugins/common/weights/tests/fixtures";

pub(crate) fn parity() -> Result<()> {
    let environment = tools::set_up()?;
    let python = set_up_python()?;
    let qwen = format!("{MODELS}/qwen2");
    let script = |path: String, arguments: &[&str]| {
        let mut command = program(&python);
        command.arg(path).args(arguments);
        // One thread: sums are made in the same order each time.
        command.env("OMP_NUM_THREADS", "1");
        command
    };
    let adapter = std::env::temp_dir().join(format!("tale-parity-{}", std::process::id()));
    let mut summary = Summary::default();
    let made = summary.step("fixtures", || {
        run(&mut script(format!("{MODELS}/make.py"), &[MODELS]))?;
        run(&mut script(
            format!("{TRAINING}/make.py"),
            &[&qwen, TRAINING],
        ))?;
        let quants = script(format!("{QUANTS}/quants.py"), &[]).output()?;
        Ok(std::fs::write(
            root().join(QUANTS).join("quants.json"),
            quants.stdout,
        )?)
    });
    if made {
        summary.step("tests", || {
            let packages = [
                "-p",
                "tale-weights",
                "-p",
                "tale-llama",
                "-p",
                "tale-trainer-tch",
            ];
            run(cargo(&environment)
                .args(["test", "--release"])
                .args(packages)
                .args(["--lib", "--test", "parity"])
                .env("TALE_PARITY_ADAPTER", &adapter))
        });
        summary.step("PEFT reads our adapter", || {
            let fixture = format!("{TRAINING}/sft.json");
            let adapter = adapter.to_string_lossy();
            let arguments = [qwen.as_str(), &adapter, &fixture];
            run(&mut script(format!("{TRAINING}/check_peft.py"), &arguments))
        });
        let _ = std::fs::remove_dir_all(&adapter);
        summary.step("what has changed", || {
            run(program("git").args(["diff", "--stat", "--", MODELS, TRAINING, QUANTS]))
        });
    }
    summary.end()
}

/// A Python environment of the project's own, made once; `pip` brings it up to the requirements.
fn set_up_python() -> Result<PathBuf> {
    let home = Wheel::folder().join("parity");
    let own = home.join("bin/python");
    if !own.is_file() {
        run(program(python()?).args(["-m", "venv"]).arg(&home))?;
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

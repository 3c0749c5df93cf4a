//! What is needed to go on with a training: adapter, moments, and the steps done.
//!
//! A checkpoint is a folder that appears by being renamed, so there is no half of one.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use tale_api::{Error, ErrorKind, Result};
use tale_llama::{Device, Lora, to_array, to_tensor};
use tale_training::{Progress, unwritable};
use tale_weights::{adapter::Adapter, read_tensors, write_tensors};
use tch::{Kind, Tensor};

use crate::adamw::Moments;

/// Checkpoints that are kept: the last one, and one before it in case the disk ate that.
const KEPT: usize = 2;

/// The folder of all checkpoints of a training.
fn home(output: &Path) -> PathBuf {
    output.join("checkpoints")
}

/// Writes a checkpoint and drops the oldest; gives its folder.
pub(crate) fn save(
    output: &Path,
    progress: &Progress,
    lora: &Lora,
    moments: &[Moments],
) -> Result<PathBuf> {
    let home = home(output);
    let folder = home.join(format!("step-{:08}", progress.step));
    let partial = home.join("part");
    let _ = fs::remove_dir_all(&partial);
    fs::create_dir_all(&partial).map_err(|e| unwritable(&partial, &e))?;
    lora.to_adapter().write(&partial)?;
    let names = lora.parameters().into_iter().map(|(name, _)| name);
    let tensors: Vec<_> = names
        .zip(moments)
        .flat_map(|(name, m)| {
            [
                (format!("{name}.first"), to_array(&m.first)),
                (format!("{name}.second"), to_array(&m.second)),
            ]
        })
        .collect();
    write_tensors(&partial.join("optimizer.safetensors"), &tensors)?;
    let state = partial.join("state.json");
    let text = serde_json::to_string(progress).map_err(std::io::Error::from);
    text.and_then(|text| fs::write(&state, text))
        .map_err(|e| unwritable(&state, &e))?;
    let _ = fs::remove_dir_all(&folder);
    fs::rename(&partial, &folder).map_err(|e| unwritable(&folder, &e))?;
    let all = list(output);
    for old in &all[..all.len().saturating_sub(KEPT)] {
        let _ = fs::remove_dir_all(old);
    }
    Ok(folder)
}

/// A checkpoint as read.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub(crate) progress: Progress,
    pub(crate) adapter: Adapter,
    moments: BTreeMap<String, tale_weights::Array>,
}

impl Checkpoint {
    /// The last one that can be read; absent if there is none.
    pub(crate) fn last(output: &Path) -> Option<Self> {
        list(output).iter().rev().find_map(|folder| match Self::read(folder) {
            Ok(checkpoint) => Some(checkpoint),
            Err(e) => {
                tracing::warn!(error = %e, folder = %folder.display(), "a checkpoint cannot be read, the one before it is taken");
                None
            }
        })
    }

    fn read(folder: &Path) -> Result<Self> {
        let state = folder.join("state.json");
        let broken = |e: &(dyn std::error::Error + 'static)| {
            Error::new(
                ErrorKind::InvalidData,
                format!("`{}` cannot be read", state.display()),
            )
            .caused_by(e)
        };
        let text = fs::read_to_string(&state).map_err(|e| broken(&e))?;
        Ok(Self {
            progress: serde_json::from_str(&text).map_err(|e| broken(&e))?,
            adapter: Adapter::read(folder)?,
            moments: read_tensors(&folder.join("optimizer.safetensors"))?,
        })
    }

    /// The moments of the adapter's parameters, in their order.
    pub(crate) fn moments(&self, lora: &Lora, device: Device) -> Result<Vec<Moments>> {
        let get = |name: &str, parameter: &Tensor| {
            let found = self
                .moments
                .get(name)
                .map(|array| to_tensor(array, Kind::Float, device));
            found
                .filter(|tensor| tensor.size() == parameter.size())
                .ok_or_else(|| {
                    Error::new(
                        ErrorKind::InvalidData,
                        format!("the checkpoint has no `{name}` of the adapter's shape"),
                    )
                })
        };
        lora.parameters()
            .into_iter()
            .map(|(name, parameter)| {
                Ok(Moments {
                    first: get(&format!("{name}.first"), parameter)?,
                    second: get(&format!("{name}.second"), parameter)?,
                })
            })
            .collect()
    }
}

/// The folders of checkpoints, oldest first.
fn list(output: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(home(output)).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("step-"))
        })
        .collect();
    folders.sort_unstable();
    folders
}

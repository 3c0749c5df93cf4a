//! TALE's standard data sets, estimators and prompts.

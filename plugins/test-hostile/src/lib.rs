//! A plugin that misbehaves in every way the host must survive.

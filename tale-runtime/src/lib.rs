//! The TALE runtime: manifests, plans, pipelines, journal and reports.

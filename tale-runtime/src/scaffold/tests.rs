//! Names, sources of `tale-api`, and folders that are not touched.

use super::*;

fn scaffold(kind: ComponentKind, language: Language) -> Scaffold {
    Scaffold {
        name: "by-length".parse().unwrap(),
        kind,
        language,
        tale_api: Dependency::Version("0.1.0".to_owned()),
    }
}

const KINDS: [ComponentKind; 5] = [
    ComponentKind::Llm,
    ComponentKind::Estimator,
    ComponentKind::Feasibility,
    ComponentKind::Dataset,
    ComponentKind::Trainer,
];

#[test]
fn every_kind_has_three_places_to_fill_in_and_no_trace_of_a_template() {
    for kind in KINDS {
        for language in [Language::Rust, Language::C] {
            let scaffold = scaffold(kind, language);
            for (path, text) in scaffold.render().unwrap() {
                if path == Path::new("tale_plugin.h") {
                    // TALE's own header, as it is.
                    assert_eq!(text, tale_api::abi::HEADER);
                    continue;
                }
                assert!(
                    !text.contains("{{") && !text.contains("{%"),
                    "{}",
                    path.display()
                );
                if path == Path::new(scaffold.source()) {
                    for n in 1..=3 {
                        let place = format!("FILL IN {n} of 3");
                        assert_eq!(text.matches(&place).count(), 1, "{kind}: {place}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_schema_names_the_defaults_of_its_options() {
    for kind in KINDS {
        let files = scaffold(kind, Language::Rust).render().unwrap();
        let (_, text) = files
            .iter()
            .find(|(path, _)| path.ends_with("options.schema.json"))
            .unwrap();
        let schema: serde_json::Value = serde_json::from_str(text).unwrap();
        for (name, option) in schema["properties"].as_object().unwrap() {
            assert!(option.get("default").is_some(), "{kind}: {name}");
            assert!(option.get("description").is_some(), "{kind}: {name}");
        }
    }
}

#[test]
fn names_that_no_crate_or_manifest_can_have_are_refused_with_one_that_fits() {
    for (name, hint) in [
        ("By Length", "`by-length`"),
        ("by_length", "`by-length`"),
        ("7th", "`th`"),
        ("-x", "`x`"),
        ("a--b", "`a-b`"),
        ("tale-x", "say `x`"),
        ("../evil", "`evil`"),
        ("a\"b", "`a-b`"),
    ] {
        let error = name.parse::<PluginName>().unwrap_err();
        assert!(error.contains(hint), "{name}: {error}");
    }
    assert!("".parse::<PluginName>().is_err());
    assert!("x".repeat(51).parse::<PluginName>().is_err());
    assert!("\u{4f60}".parse::<PluginName>().is_err());
}

#[test]
fn type_names_do_not_collide_with_what_the_file_uses() {
    for (name, expected) in [
        ("by-length", "ByLength"),
        ("gpt4", "Gpt4"),
        ("options", "OptionsPlugin"),
        ("estimator", "EstimatorPlugin"),
    ] {
        assert_eq!(name.parse::<PluginName>().unwrap().type_name(), expected);
    }
}

#[test]
fn a_dependency_is_told_by_its_look() {
    let version = |v: &str| Dependency::Version(v.to_owned());
    for (text, expected) in [
        ("0.1.0", version("0.1.0")),
        ("^0.1", version("^0.1")),
        (
            "https://example.org/tale",
            Dependency::Git("https://example.org/tale".to_owned()),
        ),
        (
            "git@example.org:tale",
            Dependency::Git("git@example.org:tale".to_owned()),
        ),
        ("../tale", Dependency::Path("../tale".into())),
    ] {
        assert_eq!(text.parse(), Ok(expected));
    }
    assert_eq!(
        Dependency::Path("a \"b\"".into()).to_toml(),
        "path = 'a \"b\"'"
    );
    assert!(Dependency::Path("no/such/folder".into()).checked().is_err());
    let found = Dependency::Path(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).checked();
    assert!(matches!(found, Ok(Dependency::Path(path)) if path.ends_with("tale-api")));
}

#[test]
fn a_folder_in_use_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mine.txt");
    fs::write(&file, "mine").unwrap();
    let scaffold = scaffold(ComponentKind::Llm, Language::Rust);
    for (folder, part) in [(dir.path(), "not empty"), (file.as_path(), "is a file")] {
        let error = scaffold.write(folder).unwrap_err();
        assert!(error.message.contains(part), "{}", error.message);
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(file).unwrap(), "mine");
}

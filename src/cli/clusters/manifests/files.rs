//! Reading files of clusters: YAML or JSON, one file or every one of a folder, one or many clusters in each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::super::import;
use crate::cli::error::CliError;

/// A cluster as a file wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// Everything that the file says of it.
    pub fields: Map<String, Value>,
}

/// Every cluster of some files and folders (`-` is standard input), by name.
///
/// # Errors
/// What cannot be read, is no list of clusters, or names a cluster twice, with its file.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Wanted>, CliError> {
    let mut found: BTreeMap<String, (PathBuf, Map<String, Value>)> = BTreeMap::new();
    for path in paths.iter().map(|path| within(path)).collect::<Result<Vec<_>, _>>()?.concat() {
        for fields in clusters(&import::text(&path)?).map_err(|why| unfit(&path, &why))? {
            let name = fields.get("name").and_then(Value::as_str).map(str::to_owned);
            let name = name.ok_or_else(|| unfit(&path, "a cluster has no name"))?;
            if let Some((other, _)) = found.insert(name.clone(), (path.clone(), fields)) {
                return Err(unfit(&path, &format!("{name} stands in {} already", other.display())));
            }
        }
    }
    Ok(found.into_iter().map(|(name, (_, fields))| Wanted { name, fields }).collect())
}

fn unfit(path: &Path, why: &str) -> CliError {
    CliError::Failed(anyhow::anyhow!("{}: {why}", path.display()))
}

/// The file itself, or the files of a folder and of those below it, in the order of their names.
fn within(path: &Path) -> Result<Vec<PathBuf>, CliError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable = || CliError::failed(path.display().to_string());
    let entries = std::fs::read_dir(path).map_err(unreadable())?.collect::<Result<Vec<_>, _>>().map_err(unreadable())?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if path.is_dir() {
            files.extend(within(&path)?);
        } else if matches!(ending, "yaml" | "yml" | "json") {
            files.push(path);
        }
    }
    Ok(files)
}

/// The clusters of one text: documents, each of them a cluster, a list of them, or `clusters:` and a list.
fn clusters(text: &str) -> Result<Vec<Map<String, Value>>, String> {
    let documents: Vec<Value> = match text.trim_start().starts_with(['{', '[']) {
        true => vec![serde_json::from_str(text).map_err(|error| format!("is not valid JSON: {error}"))?],
        false => serde_saphyr::from_multiple(text).map_err(|error| format!("is not valid YAML: {error}"))?,
    };
    let mut found = Vec::new();
    for document in documents {
        match document {
            Value::Null => {}
            Value::Array(list) => found.extend(list),
            Value::Object(mut map) => match map.remove("clusters") {
                Some(Value::Array(list)) => found.extend(list),
                Some(_) => return Err("`clusters` is no list".to_owned()),
                None => found.push(map.into()),
            },
            _ => return Err("there is no cluster in it".to_owned()),
        }
    }
    let object = |cluster| match cluster {
        Value::Object(fields) => Ok(fields),
        other => Err(format!("{other} is no cluster")),
    };
    found.into_iter().map(object).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        clusters(text).unwrap().iter().map(|fields| fields["name"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_file_may_hold_one_cluster_or_many_in_every_usual_form() {
        assert_eq!(names("name: abc\napi_server_url: https://a\n"), ["abc"]);
        assert_eq!(names("# nothing\n---\nname: abc\n---\nname: def\n"), ["abc", "def"]);
        assert_eq!(names("clusters:\n- name: abc\n- {name: def}\n"), ["abc", "def"]);
        assert_eq!(names("- name: abc\n"), ["abc"]);
        assert_eq!(names("[{\"name\": \"abc\"}]"), ["abc"]);
        assert!(names("").is_empty());
        for wrong in ["clusters: 7", "hello", "- 7", "a: [", "[1"] {
            assert!(clusters(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_folder_is_read_in_order_and_a_name_stands_once() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        std::fs::create_dir(folder.path().join("more")).unwrap();
        write("b.yaml", "name: bbb");
        write("a.yml", "name: aaa");
        write("more/c.json", "{\"name\": \"ccc\"}");
        write("README.md", "not a cluster");
        let found = read(&[folder.path().to_owned()]).unwrap();
        assert_eq!(found.iter().map(|wanted| wanted.name.as_str()).collect::<Vec<_>>(), ["aaa", "bbb", "ccc"]);
        write("d.yaml", "name: aaa");
        let twice = read(&[folder.path().to_owned()]).unwrap_err().to_string();
        assert!(twice.contains("d.yaml: aaa stands in ") && twice.contains("a.yml already"), "{twice}");
    }
}

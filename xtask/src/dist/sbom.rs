//! Bill of materials: CycloneDX 1.6 as JSON, of what is in the binary and what helped to build it.

use std::{collections::BTreeSet, fs};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    hexadecimal,
    metadata::{Metadata, Package},
};
use crate::process::{Failure, root};

/// What the program itself is called in the bill.
fn product(version: &str) -> String {
    format!("pkg:generic/anomaly-detect@{version}")
}

/// Writes the bill.
pub(super) fn bill(metadata: &Metadata, epoch: u64) -> Result<Vec<u8>, Failure> {
    let mut components = Vec::new();
    let mut dependencies = Vec::new();
    let version = &metadata.version;
    for (id, package) in &metadata.packages {
        components.push(component(package));
        let mut on: BTreeSet<String> = (package.depends.iter())
            .filter_map(|id| metadata.packages.get(id))
            .map(reference)
            .collect();
        if package.name == "libsqlite3-sys" {
            let sqlite = sqlite(package)?;
            on.insert(field(&sqlite, "bom-ref"));
            dependencies.push(json!({"ref": sqlite["bom-ref"]}));
            components.push(sqlite);
        }
        if package.name == "sensor-ebpf" {
            let object = object()?;
            on.insert(field(&object, "bom-ref"));
            dependencies.push(json!({"ref": object["bom-ref"]}));
            components.push(object);
        }
        dependencies.push(json!({"ref": reference(package), "dependsOn": on}));
        if *id == metadata.product {
            dependencies.push(json!({"ref": product(version), "dependsOn": [reference(package)]}));
        }
    }
    for (list, key) in [(&mut components, "bom-ref"), (&mut dependencies, "ref")] {
        list.sort_by_key(|entry| field(entry, key));
    }
    let seconds = i64::try_from(epoch).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_second(seconds)
        .map_err(|error| Failure::Unable(format!("SOURCE_DATE_EPOCH={epoch}: {error}")))?;
    let mut bill = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": time.to_string(),
            "lifecycles": [{"phase": "build"}],
            "tools": {"components": [{"type": "application", "name": "cargo xtask dist", "version": version}]},
            "component": {
                "type": "application",
                "bom-ref": product(version),
                "name": "anomaly-detect",
                "version": version,
                "purl": product(version),
                "licenses": [{"expression": "MIT OR Apache-2.0"}],
            },
        },
        "components": components,
        "dependencies": dependencies,
    });
    // The same content has the same number.
    let digest = Sha256::digest(bill.to_string().as_bytes());
    bill["serialNumber"] = json!(uuid(&digest));
    check(&bill).map_err(|what| Failure::Check(format!("bill of materials: {what}")))?;
    let mut text = serde_json::to_vec_pretty(&bill)
        .map_err(|error| Failure::Check(format!("bill of materials: {error}")))?;
    text.push(b'\n');
    Ok(text)
}

fn field(entry: &Value, name: &str) -> String {
    entry[name].as_str().unwrap_or_default().to_owned()
}

/// Package URL of a package, also its name within the bill.
fn reference(package: &Package) -> String {
    // `+` of a version's build part is reserved in a package URL (purl-spec).
    let version = package.version.replace('+', "%2B");
    format!("pkg:cargo/{}@{version}", package.name)
}

fn component(package: &Package) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": reference(package),
        "name": package.name,
        "version": package.version,
        "purl": reference(package),
        "scope": if package.is_linked { "required" } else { "excluded" },
        "licenses": match &package.licence {
            // The way in which cargo wrote OR before it read SPDX.
            Some(licence) => json!([{"expression": licence.replace('/', " OR ")}]),
            None => json!([{"license": {"name": "in a file of its sources"}}]),
        },
    });
    if let Some(about) = &package.description {
        component["description"] = json!(about.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    if let Some(checksum) = &package.checksum {
        component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
    }
    if let Some(repository) = (package.repository.as_ref()).filter(|url| url.starts_with("http")) {
        component["externalReferences"] = json!([{"type": "vcs", "url": repository}]);
    }
    component
}

/// SQLite, whose C source comes within a package.
fn sqlite(package: &Package) -> Result<Value, Failure> {
    let header = package.folder.join("sqlite3/sqlite3.h");
    let text = fs::read_to_string(&header).map_err(Failure::file(&header))?;
    let version = text
        .lines()
        .find_map(|line| line.strip_prefix("#define SQLITE_VERSION "))
        .map(|version| version.trim().trim_matches('"').to_owned())
        .ok_or_else(|| Failure::Check(format!("{}: no SQLITE_VERSION", header.display())))?;
    let purl = format!("pkg:generic/sqlite@{version}");
    Ok(json!({
        "type": "library",
        "bom-ref": purl,
        "name": "sqlite",
        "version": version,
        "purl": purl,
        "scope": "required",
        "licenses": [{"license": {"id": "blessing"}}],
        "cpe": format!("cpe:2.3:a:sqlite:sqlite:{version}:*:*:*:*:*:*:*"),
    }))
}

/// The program for the kernel, which is committed compiled.
fn object() -> Result<Value, Failure> {
    let path = root().join("sensor-ebpf/objects/flow-monitor.bpf.o");
    let bytes = fs::read(&path).map_err(Failure::file(&path))?;
    Ok(json!({
        "type": "file",
        "bom-ref": "flow-monitor.bpf.o",
        "name": "flow-monitor.bpf.o",
        "scope": "required",
        "licenses": [{"expression": "MIT OR Apache-2.0"}],
        "hashes": [{"alg": "SHA-256", "content": hexadecimal(&Sha256::digest(&bytes))}],
    }))
}

/// A digest as a UUID of version 8, whose bits are the maker's own (RFC 9562, section 5.8).
fn uuid(digest: &[u8]) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hexadecimal(&bytes);
    format!(
        "urn:uuid:{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// What the schema asks for and a reader relies on: fields that must be there, names that are told apart, references
/// that lead somewhere, each component with a licence.
fn check(bill: &Value) -> Result<(), String> {
    for (name, wanted) in [("bomFormat", "CycloneDX"), ("specVersion", "1.6")] {
        if bill[name] != wanted {
            return Err(format!("{name} is not {wanted}"));
        }
    }
    let mut references = BTreeSet::from([field(&bill["metadata"]["component"], "bom-ref")]);
    let list = |name: &str| bill[name].as_array().cloned().unwrap_or_default();
    for component in list("components") {
        let reference = field(&component, "bom-ref");
        for name in ["type", "name", "bom-ref", "licenses"] {
            if component[name].is_null() || component[name] == "" {
                return Err(format!("{reference}: no {name}"));
            }
        }
        let is_library = component["type"] == "library";
        if is_library && component["version"].as_str().is_none_or(str::is_empty) {
            return Err(format!("{reference}: no version"));
        }
        for hash in component["hashes"].as_array().into_iter().flatten() {
            let content = field(hash, "content");
            let is_hash =
                content.len() == 64 && content.bytes().all(|byte| byte.is_ascii_hexdigit());
            if hash["alg"] != "SHA-256" || !is_hash {
                return Err(format!("{reference}: `{content}` is no SHA-256"));
            }
        }
        if !references.insert(reference.clone()) {
            return Err(format!("{reference}: there twice"));
        }
    }
    let mut described = BTreeSet::new();
    for dependency in list("dependencies") {
        let from = field(&dependency, "ref");
        let on = dependency["dependsOn"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let on = on
            .iter()
            .map(|on| on.as_str().unwrap_or_default().to_owned());
        for name in on.chain([from.clone()]) {
            if !references.contains(&name) {
                return Err(format!("{name}: no such component"));
            }
        }
        if !described.insert(from.clone()) {
            return Err(format!("{from}: its dependencies are there twice"));
        }
    }
    match references.difference(&described).next() {
        Some(missing) => Err(format!("{missing}: what it depends on is not said")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Value {
        let metadata = Metadata::read().expect("cargo metadata");
        let bill = bill(&metadata, 1_700_000_000).expect("a bill that passes its check");
        serde_json::from_slice(&bill).expect("JSON")
    }

    #[test]
    fn it_names_what_is_in_the_binary() {
        let bill = ours();
        let components = bill["components"].as_array().expect("components");
        let find = |name: &str| {
            (components.iter())
                .find(|component| component["name"] == name)
                .unwrap_or_else(|| panic!("no {name}"))
        };
        assert_eq!(find("sqlite")["scope"], "required");
        assert_eq!(find("axum")["scope"], "required");
        assert_eq!(find("flow-monitor.bpf.o")["type"], "file");
        // Runs in the compiler only, and only in tests.
        assert_eq!(find("syn")["scope"], "excluded");
        assert!(
            !components
                .iter()
                .any(|component| component["name"] == "proptest")
        );
        for component in components {
            let is_foreign = field(component, "purl").starts_with("pkg:cargo/")
                && !["sensor", "model", "sensor-ebpf"].contains(&field(component, "name").as_str());
            assert_eq!(is_foreign, is_foreign && component["hashes"].is_array());
        }
        assert_eq!(bill["metadata"]["timestamp"], "2023-11-14T22:13:20Z");
        assert_eq!(ours(), bill, "the same each time");
    }

    #[test]
    fn the_check_sees_what_is_wrong() {
        let bill = ours();
        let broken = |change: &dyn Fn(&mut Value)| {
            let mut bill = bill.clone();
            change(&mut bill);
            check(&bill).expect_err("broken")
        };
        assert!(check(&bill).is_ok());
        assert!(broken(&|bill| bill["specVersion"] = json!("9")).contains("specVersion"));
        assert!(
            broken(&|bill| bill["components"][0]["licenses"] = Value::Null).contains("licenses")
        );
        assert!(
            broken(&|bill| bill["components"][1] = bill["components"][0].clone()).contains("twice")
        );
        assert!(
            broken(&|bill| bill["dependencies"][0]["dependsOn"] = json!(["pkg:cargo/none@1"]))
                .contains("no such component")
        );
        assert!(
            broken(&|bill| {
                bill["dependencies"].as_array_mut().map(Vec::pop);
            })
            .contains("not said")
        );
        assert!(
            broken(&|bill| bill["components"][0]["hashes"] =
                json!([{"alg": "SHA-256", "content": "ff"}]))
            .contains("no SHA-256")
        );
    }
}

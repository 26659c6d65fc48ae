//! What goes into the binary, by cargo's own account.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use serde::Deserialize;

use crate::process::{Failure, cargo, root};

/// The product's packages and how they depend on each other.
pub(super) struct Metadata {
    /// Of the product.
    pub(super) version: String,
    /// All but those for tests alone, by identifier.
    pub(super) packages: BTreeMap<String, Package>,
    /// Identifier of the package with the binary.
    pub(super) product: String,
}

/// A package.
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) licence: Option<String>,
    pub(super) description: Option<String>,
    pub(super) repository: Option<String>,
    /// SHA-256 of the archive it came in; of ours there is none.
    pub(super) checksum: Option<String>,
    /// Folder of its sources.
    pub(super) folder: PathBuf,
    /// Whether its code is in the binary, as opposed to having helped to build it.
    pub(super) is_linked: bool,
    /// Identifiers of what it depends on.
    pub(super) depends: BTreeSet<String>,
}

impl Package {
    /// Whether it is part of this project.
    pub(super) fn is_ours(&self) -> bool {
        self.folder.starts_with(root())
    }
}

#[derive(Deserialize)]
struct Raw {
    packages: Vec<RawPackage>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct RawPackage {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    description: Option<String>,
    repository: Option<String>,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    /// Nothing, `build` or `dev`.
    kind: Option<String>,
}

impl Metadata {
    /// Asks cargo.
    pub(super) fn read() -> Result<Self, Failure> {
        let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let mut command = cargo();
        command.args([
            "metadata",
            "--format-version=1",
            "--locked",
            "--filter-platform",
            &target,
        ]);
        let output = command.output().map_err(|source| Failure::Start {
            program: "cargo".to_owned(),
            source,
        })?;
        if !output.status.success() {
            return Err(Failure::Check(format!(
                "cargo metadata: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            )));
        }
        let raw: Raw = serde_json::from_slice(&output.stdout)
            .map_err(|error| Failure::Check(format!("cargo metadata: {error}")))?;
        let lock = root().join("Cargo.lock");
        let lock = fs::read_to_string(&lock).map_err(Failure::file(&lock))?;
        Self::of(&raw, &checksums(&lock))
    }

    fn of(raw: &Raw, checksums: &BTreeMap<(String, String), String>) -> Result<Self, Failure> {
        let product = raw
            .packages
            .iter()
            .find(|package| package.name == "sensor")
            .ok_or_else(|| Failure::Check("cargo metadata names no package `sensor`".to_owned()))?
            .id
            .clone();
        let nodes: BTreeMap<&str, &Node> = (raw.resolve.nodes.iter())
            .map(|node| (node.id.as_str(), node))
            .collect();
        let macros: BTreeSet<&str> = (raw.packages.iter())
            .filter(|package| {
                let is_macro =
                    |target: &Target| target.kind.iter().any(|kind| kind == "proc-macro");
                package.targets.iter().any(is_macro)
            })
            .map(|package| package.id.as_str())
            .collect();
        let used = reach(&nodes, &product, |_, kind| kind != Some("dev"));
        // A macro's own code, and what it is built from, runs in the compiler.
        let linked = reach(&nodes, &product, |to, kind| {
            kind.is_none() && !macros.contains(to)
        });
        let mut version = String::new();
        let mut packages = BTreeMap::new();
        for package in &raw.packages {
            if !used.contains(&package.id) {
                continue;
            }
            if package.id == product {
                version.clone_from(&package.version);
            }
            let depends = nodes
                .get(package.id.as_str())
                .map_or_else(BTreeSet::new, |node| {
                    (node.deps.iter())
                        .filter(|dependency| used.contains(&dependency.pkg))
                        .filter(|dependency| {
                            (dependency.dep_kinds.iter())
                                .any(|kind| kind.kind.as_deref() != Some("dev"))
                        })
                        .map(|dependency| dependency.pkg.clone())
                        .collect()
                });
            let key = (package.name.clone(), package.version.clone());
            packages.insert(
                package.id.clone(),
                Package {
                    name: package.name.clone(),
                    version: package.version.clone(),
                    licence: package.license.clone(),
                    description: package.description.clone(),
                    repository: package.repository.clone(),
                    checksum: checksums.get(&key).cloned(),
                    folder: package
                        .manifest_path
                        .parent()
                        .map(PathBuf::from)
                        .unwrap_or_default(),
                    is_linked: linked.contains(&package.id),
                    depends,
                },
            );
        }
        Ok(Self {
            version,
            packages,
            product,
        })
    }
}

/// What can be reached from a package by dependencies that `follows`, itself among them.
fn reach(
    nodes: &BTreeMap<&str, &Node>,
    from: &str,
    follows: impl Fn(&str, Option<&str>) -> bool,
) -> BTreeSet<String> {
    let mut reached = BTreeSet::from([from.to_owned()]);
    let mut next = vec![from.to_owned()];
    while let Some(id) = next.pop() {
        let Some(node) = nodes.get(id.as_str()) else {
            continue;
        };
        for dependency in &node.deps {
            let follows = (dependency.dep_kinds.iter())
                .any(|kind| follows(&dependency.pkg, kind.kind.as_deref()));
            if follows && reached.insert(dependency.pkg.clone()) {
                next.push(dependency.pkg.clone());
            }
        }
    }
    reached
}

/// Checksums by name and version, from `Cargo.lock`: cargo writes it, a line for each field.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let mut found = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let field = |name: &str| {
            package.lines().find_map(|line| {
                let value = line.strip_prefix(name)?.strip_prefix(" = \"")?;
                Some(value.strip_suffix('"')?.to_owned())
            })
        };
        if let (Some(name), Some(version), Some(checksum)) =
            (field("name"), field("version"), field("checksum"))
        {
            found.insert((name, version), checksum);
        }
    }
    found
}

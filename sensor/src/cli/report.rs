//! `report`: what was found, as a page for people and as JSON beside it.

use std::{fs, io::Write, path::Path};

use model::Model;

use super::{
    args::ReportArgs,
    fault::{Fault, code},
    setup::{Flags, Setup, is_stdout, output},
};
use crate::{
    intel::Lists,
    sink::{
        report::{self, Report, Tally},
        store,
        summary::Findings,
        told::Told,
    },
};

/// Writes the report of a run.
pub(super) fn of_run(
    setup: &Setup,
    findings: &Findings<'_>,
    tally: &Tally,
    model: &Model,
    lists: &Lists,
) -> Result<(), Fault> {
    let evidence = setup.folder().join("evidence");
    let mut alerts: Vec<_> = findings.incidents.iter().map(Told::alert).collect();
    alerts.iter_mut().for_each(|alert| alert.enrich(lists));
    for alert in &mut alerts {
        alert.model = findings.model.clone();
        alert.coverage = findings.completeness();
        alert.bundle = evidence.join(&alert.id).is_dir().then(|| alert.id.clone());
    }
    let report = Report::of(findings, tally, alerts, report::facts(model));
    let path = setup.folder().join("reports").join("report.html");
    write(&report, &path)?;
    Ok(())
}

/// Writes the page, and the JSON beside it.
fn write(report: &Report, page: &Path) -> Result<(), Fault> {
    type Form = fn(&mut dyn Write, &Report) -> std::io::Result<()>;
    let to_stdout = is_stdout(page);
    let json = (page.with_extension("json"), report::write_json as Form);
    for (path, form) in [(page.to_owned(), report::write as Form)]
        .into_iter()
        .chain((!to_stdout).then_some(json))
    {
        let mut out = output(&path)?;
        form(&mut out, report)
            .and_then(|()| out.flush())
            .map_err(|error| Fault::file(&path, &error, code::FAILED))?;
    }
    Ok(())
}

pub(super) fn run(args: &ReportArgs) -> Result<u8, Fault> {
    let setup = Setup::new(&args.common, &Flags::default())?;
    let report = gather(args, &setup)?;
    let page = args
        .output
        .clone()
        .unwrap_or_else(|| setup.folder().join("reports").join("report.html"));
    write(&report, &page)?;
    if !is_stdout(&page) {
        let json = page.with_extension("json");
        setup.note(&format!("{} and {}", page.display(), json.display()));
    }
    Ok(0)
}

/// What there is to report of: a store, or the report of a run, whichever was written last.
fn gather(args: &ReportArgs, setup: &Setup) -> Result<Report, Fault> {
    let given = args.folder.as_deref();
    if let Some(file) = given.filter(|path| path.extension().is_some_and(|ending| ending == "json"))
    {
        return read(file);
    }
    let (store, folder) = match given {
        Some(path) if path.is_file() => (path.to_owned(), path),
        Some(folder) => (store::path_in(folder), folder),
        None => (setup.store_path(), setup.folder()),
    };
    let kept = folder.join("reports").join("report.json");
    let changed = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    let wal = store.with_extension("sqlite-wal");
    let stored = changed(&store).max(changed(&wal));
    // Of a run the report of then says more: which features were missing, how logs fitted.
    if args.last.is_none()
        && changed(&kept) >= stored
        && let Ok(report) = read(&kept)
        && report.source == "run"
    {
        return Ok(report);
    }
    if stored.is_none() {
        return Err(Fault::new(
            code::NO_INPUT,
            format!(
                "{}: neither a store nor a report in it; `run` and `live` write them",
                folder.display()
            ),
        ));
    }
    Ok(Report::of_store(&store, args.last)?)
}

/// A report that was kept.
fn read(path: &Path) -> Result<Report, Fault> {
    let text = fs::read(path).map_err(|error| Fault::file(path, &error, code::NO_INPUT))?;
    serde_json::from_slice(&text).map_err(|error| {
        Fault::new(
            code::NO_INPUT,
            format!("{}: not a report: {error}", path.display()),
        )
    })
}

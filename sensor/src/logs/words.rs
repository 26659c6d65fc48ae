//! Names and words that the rules know: programs, commands, places and pipes.

use super::{Event, Field};

/// Shells and the like: what an intruder wants to run.
pub(super) const SHELLS: [&str; 11] = [
    "cmd.exe",
    "powershell.exe",
    "pwsh.exe",
    "wscript.exe",
    "cscript.exe",
    "mshta.exe",
    "rundll32.exe",
    "regsvr32.exe",
    "certutil.exe",
    "bitsadmin.exe",
    "net.exe",
];

/// Programs that have no business starting a shell: remote administration, office, servers, the screen's helpers.
pub(super) const PARENTS: [&str; 15] = [
    "wmiprvse.exe",
    "wsmprovhost.exe",
    "winword.exe",
    "excel.exe",
    "powerpnt.exe",
    "outlook.exe",
    "sqlservr.exe",
    "w3wp.exe",
    "tomcat9.exe",
    "java.exe",
    "spoolsv.exe",
    "mmc.exe",
    "dllhost.exe",
    "sethc.exe",
    "utilman.exe",
];

/// Ways to hide a command.
pub(super) const ENCODED: [&str; 7] = [
    "-encodedcommand",
    " -enc ",
    " -e jab",
    "frombase64string",
    "-w hidden",
    "-windowstyle hidden",
    "downloadstring",
];

/// Ways to switch off defences: all words of a line must be in the command.
pub(super) const DEFENCES: [&[&str]; 9] = [
    &["wevtutil", " cl"],
    &["wevtutil", "clear-log"],
    &["clear-eventlog"],
    &["auditpol", "/clear"],
    &["auditpol", "/set", "disable"],
    &["set-mppreference", "disable"],
    &["windows defender", "disable"],
    &["vssadmin", "delete"],
    &["netsh", "firewall", "off"],
];

/// Whether a new service runs a command, or a program where none belongs.
pub(super) fn is_command(event: &Event) -> bool {
    let file = event
        .get(Field::ServiceFile)
        .unwrap_or_default()
        .to_lowercase();
    let shell = SHELLS.iter().any(|shell| file.contains(shell)) || file.contains("%comspec%");
    let odd_place = file.starts_with("\\\\")
        || ["\\temp\\", "\\users\\", "\\appdata\\", "\\programdata\\", "admin$"]
            .iter()
            .any(|place| file.contains(place))
        // A single name in the folder of Windows itself: where remote execution tools drop their program.
        || file.trim_matches('"').strip_prefix("%systemroot%\\").is_some_and(|name| !name.contains('\\'))
        || file.trim_matches('"').strip_prefix("c:\\windows\\").is_some_and(|name| !name.contains('\\'));
    shell || odd_place
}

/// Pipes by which hosts are administered from afar: services, tasks, registry, accounts (MS-SCMR, MS-TSCH, MS-RRP, MS-SAMR).
pub(super) fn is_administrative(event: &Event) -> bool {
    let pipe = event
        .get(Field::ShareTarget)
        .unwrap_or_default()
        .to_lowercase();
    event.address().is_some() && ["svcctl", "atsvc", "winreg", "samr", "drsuapi"].contains(&&*pipe)
}

//! What a single event tells by itself: programs that have no business on the network, ways of doing things on another
//! host, secrets that leave a directory.
//!
//! The lists name what belongs to Windows and how it is abused (LOLBAS, ATT&CK), never the tools of an attacker: those
//! change their names.

use super::{
    Event, Field, Kind,
    context::program,
    hosts::{ends, is_of_a_host, is_outbound},
};

/// What an event tells: what it is, and its particulars.
pub(super) fn of(event: &Event) -> Option<(Kind, String)> {
    match event.id {
        5156 => connection(event),
        5140 | 5145 => share(event),
        4662 => replication(event),
        5136 => permission(event),
        4688 => process(event),
        _ => None,
    }
}

/// A connection begun by this host to another.
fn connection(event: &Event) -> Option<(Kind, String)> {
    if !is_outbound(event)? {
        return None;
    }
    let [(source, _), (destination, port)] = ends(event)?;
    if !is_of_a_host(destination) || source == destination {
        return None;
    }
    let path = event.get(Field::Application)?.to_lowercase();
    let name = program(&path);
    let told = format!("{name} to {destination} port {port}");
    // Tickets are asked for by the security authority alone; any other program that does forges or steals them.
    if port == KERBEROS && !matches!(&*name, "lsass.exe" | "system") {
        return Some((Kind::ForeignTicketRequest, told));
    }
    let odd = INTERPRETERS.contains(&&*name)
        || NO_NETWORK.contains(&&*name)
        || REMOTE_TOOLS.contains(&&*name)
        || is_writable_by_users(&path);
    odd.then_some((Kind::OddConnection, told))
}

/// A share or a pipe opened from another host by a person's account.
fn share(event: &Event) -> Option<(Kind, String)> {
    let from = event.address()?;
    if event.is_machine_account() || from.is_loopback() {
        return None;
    }
    let share = event.get(Field::Share)?.to_lowercase();
    let target = event.get(Field::ShareTarget).unwrap_or_default();
    let name = share.rsplit('\\').next().unwrap_or(&share);
    // ADMIN$, and drives as C$: there for administrators, and for whoever took their place.
    let drive = name.len() == 2 && name.ends_with('$');
    if name == "admin$" || drive {
        let told = format!("{name}\\{target}");
        return Some((
            Kind::RemoteAdministration,
            told.trim_end_matches('\\').to_owned(),
        ));
    }
    let pipe = target.to_lowercase();
    (name == "ipc$" && ENUMERATING_PIPES.contains(&&*pipe))
        .then(|| (Kind::RemoteEnumeration, format!("pipe {pipe}")))
}

/// The directory's secrets asked for as a domain controller does, but not by one (MS-ADTS §5.1.3.2.1: DS-Replication-Get-Changes,
/// -All, -In-Filtered-Set).
fn replication(event: &Event) -> Option<(Kind, String)> {
    const RIGHTS: [&str; 3] = [
        "1131f6aa-9c07-11d1-f79f-00c04fc2dcd2",
        "1131f6ad-9c07-11d1-f79f-00c04fc2dcd2",
        "89e95b76-444d-4c62-991a-0facbeda640c",
    ];
    let properties = event.get(Field::Properties)?.to_lowercase();
    let user = event.get(Field::SubjectUser)?;
    let asked = RIGHTS.iter().any(|right| properties.contains(right));
    (asked && !user.ends_with('$')).then(|| {
        (
            Kind::DirectoryReplication,
            format!("by the account {}", user.to_lowercase()),
        )
    })
}

/// Who may do what was changed on an object of the directory.
fn permission(event: &Event) -> Option<(Kind, String)> {
    let attribute = event.get(Field::Attribute)?;
    attribute
        .eq_ignore_ascii_case("nTSecurityDescriptor")
        .then(|| {
            (
                Kind::PermissionChange,
                event.get(Field::Object).unwrap_or_default().to_owned(),
            )
        })
}

/// A program started by, or for, another host.
fn process(event: &Event) -> Option<(Kind, String)> {
    let name = event.get(Field::Process).map(program)?;
    let parent = event.get(Field::Parent).map(program).unwrap_or_default();
    let command = event
        .get(Field::CommandLine)
        .unwrap_or_default()
        .to_lowercase();
    let words = || {
        let text = if command.is_empty() {
            &*name
        } else {
            &*command
        };
        text.chars().take(160).collect::<String>()
    };
    // WMI starts its own helpers; what else it starts somebody asked for, mostly from afar (T1047).
    let by_wmi = parent == "wmiprvse.exe" && !WMI_OWN.contains(&&*name);
    // The host of a remote PowerShell session (T1021.006), and what runs in it.
    let by_session =
        name == "wsmprovhost.exe" || parent == "wsmprovhost.exe" && name != "conhost.exe";
    // A service is a program, not a command (T1569.002).
    let by_service = parent == "services.exe" && INTERPRETERS.contains(&&*name);
    if by_wmi || by_session || by_service {
        return Some((
            Kind::RemoteExecution,
            format!("{parent} started {}", words()),
        ));
    }
    let remote = match &*name {
        "sc.exe" | "schtasks.exe" | "reg.exe" | "net.exe" | "tasklist.exe" | "taskkill.exe" => {
            command.contains(" \\\\") || command.contains(" /s ")
        }
        "wmic.exe" => command.contains("/node:"),
        "winrs.exe" | "psexec.exe" | "psexec64.exe" => true,
        _ => false,
    };
    remote.then(|| (Kind::RemoteTool, words()))
}

const KERBEROS: u16 = 88;

/// Programs that run what they are told (T1059, T1218), which talk to a host only because somebody told them to.
const INTERPRETERS: [&str; 18] = [
    "powershell.exe",
    "powershell_ise.exe",
    "pwsh.exe",
    "cmd.exe",
    "wscript.exe",
    "cscript.exe",
    "mshta.exe",
    "rundll32.exe",
    "regsvr32.exe",
    "msbuild.exe",
    "installutil.exe",
    "regasm.exe",
    "regsvcs.exe",
    "certutil.exe",
    "bitsadmin.exe",
    "cmstp.exe",
    "msxsl.exe",
    "odbcconf.exe",
];

/// Programs of Windows that never use the network by themselves: what does is in their place (T1055).
const NO_NETWORK: [&str; 8] = [
    "notepad.exe",
    "calc.exe",
    "mspaint.exe",
    "write.exe",
    "wordpad.exe",
    "charmap.exe",
    "gpupdate.exe",
    "werfault.exe",
];

/// Tools of Windows for other hosts (T1021, T1018, T1047).
const REMOTE_TOOLS: [&str; 12] = [
    "sc.exe",
    "wmic.exe",
    "net.exe",
    "net1.exe",
    "reg.exe",
    "schtasks.exe",
    "at.exe",
    "winrs.exe",
    "nltest.exe",
    "dsquery.exe",
    "tasklist.exe",
    "quser.exe",
];

/// What WMI starts itself.
const WMI_OWN: [&str; 4] = [
    "wmiprvse.exe",
    "unsecapp.exe",
    "werfault.exe",
    "mofcomp.exe",
];

/// Pipes that tell who is logged on, which shares and which accounts there are (MS-SRVS, MS-WKST, MS-SAMR, MS-LSAT).
const ENUMERATING_PIPES: [&str; 4] = ["srvsvc", "wkssvc", "samr", "lsarpc"];

/// Whether programs in this place were put there without an administrator. Programs that install themselves for one user
/// (AppData\Local\Programs, AppData\Local\Microsoft) are left out.
fn is_writable_by_users(path: &str) -> bool {
    const PLACES: [&str; 7] = [
        "\\users\\",
        "\\temp\\",
        "\\perflogs\\",
        "\\$recycle.bin\\",
        "\\windows\\tasks\\",
        "\\windows\\debug\\",
        "\\windows\\tracing\\",
    ];
    const INSTALLED: [&str; 4] = [
        "\\appdata\\local\\programs\\",
        "\\appdata\\local\\microsoft\\",
        "\\appdata\\local\\google\\",
        "\\appdata\\roaming\\zoom\\",
    ];
    PLACES.iter().any(|place| path.contains(place))
        && !INSTALLED.iter().any(|place| path.contains(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: u32, fields: &[(Field, &str)]) -> Event {
        let mut event = Event::new(None, id, "pc5", true);
        for (field, text) in fields {
            event.put(*field, text);
        }
        event
    }

    fn connects(application: &str, destination: &str, port: &str) -> Option<Kind> {
        let event = event(
            5156,
            &[
                (Field::Application, application),
                (Field::Direction, "%%14593"),
                (Field::SourceAddress, "10.0.0.5"),
                (Field::SourcePort, "50000"),
                (Field::DestinationAddress, destination),
                (Field::DestinationPort, port),
            ],
        );
        of(&event).map(|(kind, _)| kind)
    }

    #[test]
    fn programs_out_of_place_on_the_network() {
        let system = "\\device\\harddiskvolume2\\windows\\system32\\";
        let odd = |name: &str, port| connects(&format!("{system}{name}"), "10.0.0.1", port);
        assert_eq!(odd("notepad.exe", "80"), Some(Kind::OddConnection));
        assert_eq!(
            odd("WindowsPowerShell\\v1.0\\powershell.exe", "389"),
            Some(Kind::OddConnection)
        );
        assert_eq!(odd("svchost.exe", "443"), None);
        assert_eq!(odd("lsass.exe", "88"), None);
        assert_eq!(odd("svchost.exe", "88"), Some(Kind::ForeignTicketRequest));
        assert_eq!(
            connects(
                "\\device\\x\\users\\anna\\desktop\\a.exe",
                "10.0.0.1",
                "443"
            ),
            Some(Kind::OddConnection)
        );
        let updater = "\\device\\x\\users\\anna\\appdata\\local\\microsoft\\onedrive\\onedrive.exe";
        assert_eq!(connects(updater, "10.0.0.1", "443"), None);
        assert_eq!(
            connects(&format!("{system}cmd.exe"), "127.0.0.1", "80"),
            None
        );
    }

    #[test]
    fn a_domain_controller_may_replicate_and_a_person_may_not() {
        let by = |user| {
            let rights = "%%7688 {1131f6ad-9c07-11d1-f79f-00c04fc2dcd2}";
            of(&event(
                4662,
                &[(Field::SubjectUser, user), (Field::Properties, rights)],
            ))
        };
        assert!(by("anna").is_some());
        assert_eq!(by("DC01$"), None);
    }

    #[test]
    fn shares_for_administrators_and_pipes() {
        let open = |user, share, target| {
            let event = event(
                5145,
                &[
                    (Field::SubjectUser, user),
                    (Field::Address, "10.0.0.9"),
                    (Field::Share, share),
                    (Field::ShareTarget, target),
                ],
            );
            of(&event).map(|(kind, _)| kind)
        };
        assert_eq!(
            open("anna", "\\\\*\\C$", "Windows\\a.dll"),
            Some(Kind::RemoteAdministration)
        );
        assert_eq!(
            open("anna", "\\\\*\\IPC$", "srvsvc"),
            Some(Kind::RemoteEnumeration)
        );
        assert_eq!(open("PC9$", "\\\\*\\IPC$", "samr"), None);
        assert_eq!(open("anna", "\\\\*\\SYSVOL", "gpt.ini"), None);
    }

    #[test]
    fn what_runs_for_somebody_elsewhere() {
        let start = |parent, process, command| {
            let event = event(
                4688,
                &[
                    (Field::Parent, parent),
                    (Field::Process, process),
                    (Field::CommandLine, command),
                ],
            );
            of(&event).map(|(kind, _)| kind)
        };
        let wmi = "C:\\Windows\\System32\\wbem\\WmiPrvSE.exe";
        assert_eq!(
            start(wmi, "C:\\Windows\\notepad.exe", ""),
            Some(Kind::RemoteExecution)
        );
        assert_eq!(start("C:\\Windows\\System32\\svchost.exe", wmi, ""), None);
        assert_eq!(
            start("powershell.exe", "sc.exe", "sc.exe \\\\pc6 query x"),
            Some(Kind::RemoteTool)
        );
        assert_eq!(start("powershell.exe", "sc.exe", "sc.exe query x"), None);
    }
}

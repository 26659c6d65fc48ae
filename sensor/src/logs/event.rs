//! One event, and the fields of it that anything here asks for.

use sensor_ebpf::flow::TimeNs;

/// Longest text kept of one field, in bytes; an encoded script can be 32 kB and says no more.
const TEXT_MAX_BYTES: usize = 1024;

macro_rules! fields {
    ($($field:ident: $($name:literal)+;)*) => {
        /// A field of an event's data, by the name Windows gives it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Field {
            $(#[doc = concat!("`", $($name, "` `",)+ "`")] $field),*
        }

        impl Field {
            /// The field that goes by this name in an event's data, whatever its case and with or without underscores.
            pub fn named(name: &str) -> Option<Self> {
                const NAMES: &[(&str, Field)] = &[$($(($name, Field::$field)),+),*];
                let wanted = || name.bytes().filter(|byte| *byte != b'_');
                NAMES
                    .iter()
                    .find(|(name, _)| {
                        wanted()
                            .map(|byte| byte.to_ascii_lowercase())
                            .eq(name.bytes().map(|byte| byte.to_ascii_lowercase()))
                    })
                    .map(|(_, field)| *field)
            }
        }
    };
}

fields! {
    SubjectUser: "SubjectUserName";
    SubjectDomain: "SubjectDomainName";
    SubjectLogon: "SubjectLogonId";
    TargetUser: "TargetUserName";
    TargetDomain: "TargetDomainName";
    TargetLogon: "TargetLogonId";
    LogonType: "LogonType";
    Authentication: "AuthenticationPackageName";
    Address: "IpAddress" "ClientAddress";
    Port: "IpPort";
    Workstation: "WorkstationName" "Workstation";
    Status: "Status" "FailureReason";
    Process: "NewProcessName";
    Parent: "ParentProcessName";
    Caller: "ProcessName" "CallerProcessName";
    CommandLine: "CommandLine";
    ServiceName: "ServiceName";
    ServiceFile: "ServiceFileName" "ImagePath";
    Share: "ShareName";
    ShareTarget: "RelativeTargetName";
    Application: "Application" "ApplicationName";
    SourceAddress: "SourceAddress";
    SourcePort: "SourcePort";
    DestinationAddress: "DestAddress" "DestinationAddress";
    DestinationPort: "DestPort" "DestinationPort";
    Protocol: "Protocol";
    Direction: "Direction";
    Properties: "Properties";
    Privileges: "PrivilegeList";
    Attribute: "AttributeLDAPDisplayName";
    Object: "ObjectDN";
    TicketEncryption: "TicketEncryptionType";
}

/// One event of a Windows log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, by the clock of the host; `None` where the record carries no time.
    pub time: Option<TimeNs>,
    /// Event id, for example 4624.
    pub id: u32,
    /// Name of the host that wrote it, without its domain, in small letters.
    pub computer: Box<str>,
    /// Whether it is of the Security log; service installations are of the System log.
    pub security: bool,
    fields: Vec<(Field, Box<str>)>,
}

impl Event {
    /// An event without data.
    pub fn new(time: Option<TimeNs>, id: u32, computer: &str, security: bool) -> Self {
        let host = computer.split('.').next().unwrap_or_default();
        Self {
            time,
            id,
            computer: cut(host).to_lowercase().into(),
            security,
            fields: Vec::new(),
        }
    }

    /// Puts a field in; what stands for nothing (empty, `-`) is left out, and of two of one name the first stays.
    pub fn put(&mut self, field: Field, text: &str) {
        let text = text.trim();
        if !matches!(text, "" | "-" | "%%1793") && self.get(field).is_none() {
            self.fields.push((field, cut(text).into()));
        }
    }

    /// The text of a field.
    pub fn get(&self, field: Field) -> Option<&str> {
        self.fields
            .iter()
            .find(|(name, _)| *name == field)
            .map(|(_, text)| &**text)
    }

    /// A field as a number, decimal or `0x` hexadecimal.
    pub fn number(&self, field: Field) -> Option<u64> {
        let text = self.get(field)?;
        match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        }
    }

    /// Where a logon, a ticket request or an access came from; `None` for the host itself.
    pub fn address(&self) -> Option<std::net::IpAddr> {
        let text = self.get(Field::Address)?;
        let text = text.strip_prefix("::ffff:").unwrap_or(text);
        let address: std::net::IpAddr = text.parse().ok()?;
        (!address.is_loopback() && !address.is_unspecified()).then_some(address)
    }

    /// Who did it, or tried to: address, else the name of the workstation, in small letters.
    pub fn origin(&self) -> Option<String> {
        self.address()
            .map(|address| address.to_string())
            .or_else(|| {
                self.get(Field::Workstation)
                    .map(|name| name.trim_start_matches('\\').to_lowercase())
            })
    }

    /// The account that an event is about, in small letters and without its domain.
    pub fn account(&self) -> Option<String> {
        let field = match self.id {
            1102 | 4662 | 4672 | 4688 | 4697 | 5136 | 5140 | 5145 => Field::SubjectUser,
            _ => Field::TargetUser,
        };
        let name = self.get(field).or_else(|| self.get(Field::TargetUser))?;
        let name = name.rsplit('\\').next().unwrap_or(name);
        Some(name.split('@').next().unwrap_or(name).to_lowercase())
    }

    /// Whether the account is that of a machine or of the system itself.
    pub fn is_machine_account(&self) -> bool {
        self.account().is_none_or(|name| {
            name.ends_with('$')
                || matches!(
                    &*name,
                    "system" | "local service" | "network service" | "anonymous logon"
                )
                || name.starts_with("dwm-")
                || name.starts_with("umfd-")
        })
    }

    /// Whether a logon or a request for a ticket was refused. For Kerberos and NTLM by its status, which is 0 for success.
    pub fn is_refusal(&self) -> bool {
        match self.id {
            4625 | 4771 => true,
            4768 | 4769 | 4776 => self.number(Field::Status).is_some_and(|status| status != 0),
            _ => false,
        }
    }

    /// Whether a ticket (4769) was given for a service that is run by a person's account, with RC4 (encryption types 0x17 and
    /// 0x18, RFC 4757): its key is the account's password, unsalted, and can be guessed from the ticket at leisure.
    pub fn is_weak_ticket(&self) -> bool {
        let is_persons = |service: &str| {
            let name = service.split('@').next().unwrap_or_default();
            !name.ends_with('$') && !name.eq_ignore_ascii_case("krbtgt")
        };
        self.id == 4769
            && !self.is_refusal()
            && matches!(self.number(Field::TicketEncryption), Some(0x17 | 0x18))
            && self.get(Field::ServiceName).is_some_and(is_persons)
    }

    /// Whether somebody logged on, over the network or at the screen.
    pub fn is_logon(&self) -> bool {
        self.id == 4624
    }
}

/// The text, at most [`TEXT_MAX_BYTES`] of it.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT_MAX_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_go_by_several_spellings() {
        assert_eq!(Field::named("IpAddress"), Some(Field::Address));
        assert_eq!(Field::named("ip_address"), Some(Field::Address));
        assert_eq!(Field::named("TARGETUSERNAME"), Some(Field::TargetUser));
        assert_eq!(Field::named("Keywords"), None);
    }

    #[test]
    fn what_stands_for_nothing_is_nothing() {
        let mut event = Event::new(None, 4625, "DC01.corp.example", true);
        for nothing in ["", "-", "  "] {
            event.put(Field::Address, nothing);
        }
        assert_eq!(event.get(Field::Address), None);
        event.put(Field::Address, "::ffff:10.0.0.7");
        event.put(Field::Address, "10.0.0.8");
        assert_eq!(event.origin().as_deref(), Some("10.0.0.7"));
        assert_eq!(&*event.computer, "dc01");
        let long = "ä".repeat(2_000);
        event.put(Field::CommandLine, &long);
        assert!(
            event
                .get(Field::CommandLine)
                .is_some_and(|text| text.len() <= 1024)
        );
    }

    #[test]
    fn the_host_itself_is_no_origin() {
        let mut event = Event::new(None, 4624, "pc", true);
        event.put(Field::Address, "::1");
        assert_eq!(event.address(), None);
        event.put(Field::Workstation, "\\\\KALI");
        assert_eq!(event.origin().as_deref(), Some("kali"));
    }

    #[test]
    fn a_ticket_is_weak_by_its_cipher_and_a_persons_service() {
        let weak = |service: &str, cipher: &str, status: &str| {
            let mut event = Event::new(None, 4769, "dc", true);
            event.put(Field::ServiceName, service);
            event.put(Field::TicketEncryption, cipher);
            event.put(Field::Status, status);
            event.is_weak_ticket()
        };
        assert!(weak("sqlsvc", "0x17", "0x0"));
        assert!(!weak("sqlsvc", "0x12", "0x0"), "AES");
        assert!(!weak("sqlsvc", "0x17", "0x6"), "refused");
        assert!(!weak("PC9$", "0x17", "0x0"), "a machine");
        assert!(!weak("krbtgt", "0x17", "0x0"), "the realm itself");
    }
}

//! Message types. ASAP and ENRP each number their own, in the first octet of a message.

/// Defines a protocol's `MessageType` with a constant for each type: its documentation, name, number, and the RFC's
/// spelling of it.
macro_rules! message_types {
    (
        $(#[$protocol:meta])* {
            $($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)*
        }
    ) => {
        $(#[$protocol])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct MessageType(pub u8);

        impl MessageType {
            $($(#[$doc])* pub const $name: MessageType = MessageType($value);)*

            /// Returns the name in the RFC's spelling, `unknown` for other types.
            pub const fn name(self) -> &'static str {
                match self {
                    $(MessageType::$name => $text,)*
                    MessageType(_) => "unknown",
                }
            }

            /// Returns the type in the first octet of a message, whether known or not; none of an empty one.
            pub fn of(octets: &[u8]) -> Option<MessageType> {
                octets.first().copied().map(MessageType)
            }
        }

        impl std::fmt::Display for MessageType {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.name() {
                    "unknown" => write!(f, "message type {:#04x}", self.0),
                    name => f.write_str(name),
                }
            }
        }
    };
}

pub(crate) use message_types;

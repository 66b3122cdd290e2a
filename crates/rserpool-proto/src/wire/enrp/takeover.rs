//! ENRP_INIT_TAKEOVER, its acknowledgement, and ENRP_TAKEOVER_SERVER (RFC 5353 sections 2.7 to 2.9).
//!
//! ```text
//! | Type = 0x07, 0x08, 0x09 | Flags | Length |
//! |       sending and receiving server       |
//! |             targeting server             |
//! ```

use super::no_parameters;
use crate::RegistrarId;
use crate::wire::reader::Reader;
use crate::wire::unknown::{Report, UnknownParameter, encode_all};
use crate::wire::{EncodeError, WireError};

macro_rules! targeted {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Eq, PartialEq)]
        pub struct $name {
            /// The registrar that is taken over.
            pub target: RegistrarId,
            /// Skipped parameters, kept.
            pub unknown: Vec<UnknownParameter>,
        }

        impl $name {
            /// Returns the message about this registrar.
            pub fn of(target: RegistrarId) -> $name {
                $name { target, unknown: Vec::new() }
            }

            pub(super) fn decode(
                _: u8,
                mut body: Reader<'_>,
                report: &mut Report,
            ) -> Result<$name, WireError> {
                Ok($name { target: RegistrarId(body.u32()?), unknown: no_parameters(body, report)? })
            }

            pub(super) fn flags(&self) -> u8 {
                0
            }

            pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
                out.extend(self.target.0.to_be_bytes());
                encode_all(&self.unknown, out)
            }
        }
    )*};
}

targeted! {
    /// A registrar wants to take over a dead one.
    InitTakeover;
    /// No objection to a takeover.
    InitTakeoverAck;
    /// A registrar has taken over a dead one.
    TakeoverServer;
}

//! Parameters (RFC 5354 section 3): one file per parameter or family.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------------------------------+-------------------------------+
//! |        Parameter Type         |  Length (header and value)    |
//! +-------------------------------+-------------------------------+
//! :            Value, then zero octets up to a multiple of 4      :
//! +---------------------------------------------------------------+
//! ```

use std::fmt;

pub mod address;
pub mod cookie;
pub mod draining;
pub mod encapsulation;
pub mod long_pe_identifier;
pub mod long_registrar_identifier;
pub mod observed_address;
pub mod operation_error;
pub mod pe_checksum;
pub mod pe_checksum32;
pub mod pe_identifier;
pub mod policy;
pub mod pool_element;
pub mod pool_handle;
pub mod registrar_tcp;
pub mod resolution_option;
pub mod server_information;
pub mod transport;

/// A parameter type (RFC 5354 section 3, table 1).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ParameterType(pub u16);

macro_rules! parameter_types {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)*) => {
        impl ParameterType {
            $($(#[$doc])* pub const $name: ParameterType = ParameterType($value);)*
        }

        impl fmt::Display for ParameterType {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {
                    $(ParameterType::$name => f.write_str($text),)*
                    ParameterType(other) => write!(f, "parameter {other:#06x}"),
                }
            }
        }
    };
}

parameter_types! {
    /// IPv4 address (section 3.1).
    IPV4_ADDRESS = 0x0001, "IPv4 address";
    /// IPv6 address (section 3.2).
    IPV6_ADDRESS = 0x0002, "IPv6 address";
    /// DCCP transport (section 3.3).
    DCCP_TRANSPORT = 0x0003, "DCCP transport";
    /// SCTP transport (section 3.4).
    SCTP_TRANSPORT = 0x0004, "SCTP transport";
    /// TCP transport (section 3.5).
    TCP_TRANSPORT = 0x0005, "TCP transport";
    /// UDP transport (section 3.6).
    UDP_TRANSPORT = 0x0006, "UDP transport";
    /// UDP-Lite transport (section 3.7).
    UDP_LITE_TRANSPORT = 0x0007, "UDP-Lite transport";
    /// Pool member selection policy (section 3.8).
    POLICY = 0x0008, "pool member selection policy";
    /// Pool handle (section 3.9).
    POOL_HANDLE = 0x0009, "pool handle";
    /// Pool element (section 3.10).
    POOL_ELEMENT = 0x000a, "pool element";
    /// Server information (section 3.11).
    SERVER_INFORMATION = 0x000b, "server information";
    /// Operation error (section 3.12).
    OPERATION_ERROR = 0x000c, "operation error";
    /// Cookie (section 3.13).
    COOKIE = 0x000d, "cookie";
    /// PE identifier (section 3.14).
    PE_IDENTIFIER = 0x000e, "PE identifier";
    /// PE checksum (section 3.15).
    PE_CHECKSUM = 0x000f, "PE checksum";
    /// Opaque transport (section 3.16).
    OPAQUE_TRANSPORT = 0x0010, "opaque transport";
    /// Handle resolution option (draft-dreibholz-rserpool-asap-hropt).
    RESOLUTION_OPTION = 0x803f, "handle resolution option";
    /// UDP encapsulation port, an extension of ours (see [`encapsulation`]).
    ENCAPSULATION_PORT = 0x8f01, "encapsulation port";
    /// Registrar's TCP transport, next generation (see [`registrar_tcp`]).
    REGISTRAR_TCP = 0x8f02, "registrar TCP transport";
    /// 32-bit PE checksum, next generation (see [`pe_checksum32`]).
    PE_CHECKSUM_32 = 0x8f03, "32-bit PE checksum";
    /// Long PE identifier, next generation (see [`long_pe_identifier`]).
    LONG_PE_IDENTIFIER = 0x8f04, "long PE identifier";
    /// Long registrar identifier, next generation (see [`long_registrar_identifier`]).
    LONG_REGISTRAR_IDENTIFIER = 0x8f05, "long registrar identifier";
    /// Draining, an extension of ours (see [`draining`]).
    DRAINING = 0x8f06, "draining";
    /// Address a registrar sees, an extension of ours (see [`observed_address`]).
    OBSERVED_ADDRESS = 0x8f10, "observed address";
}

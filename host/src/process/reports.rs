//! Diagnostic reports of an isolate: gathers what [`super::report`] writes.

use nodule_abi::error::{ErrorRecord, Result};

use super::report::{self, ReportInput};
use super::signals::Side;
use crate::runtime::IsolateState;

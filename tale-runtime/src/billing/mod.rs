//! What calls cost, and how a run is kept from costing more than it may.
//!
//! * [`Tariff`]: the prices of one model, by class of service, and where they come from.
//! * [`PriceBook`]: dated prices as data, looked up by a model's name.
//! * [`Purse`]: what a run has spent and may spend; every call reserves its upper bound first.

mod book;
mod purse;
mod tariff;

pub use book::{PriceBook, PriceBookError, VARIABLE};
pub use purse::{CapReached, Purse, Reservation, Spending};
pub use tariff::{PriceOrigin, Rates, Tariff};

//! What old and particular receivers want of a request.

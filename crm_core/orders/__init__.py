"""Orders, invoices, payments, credits, subscriptions and exchange rates."""

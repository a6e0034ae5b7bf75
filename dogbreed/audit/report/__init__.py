"""Forms of a report, each a pure function from the Report to a text: the same report gives the same bytes."""

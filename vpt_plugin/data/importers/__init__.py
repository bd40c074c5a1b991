"""Labels of public data sets, as the label contract has them; one file per data set."""

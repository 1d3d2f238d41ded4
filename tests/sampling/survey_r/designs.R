# Estimates of the samples that inputs.py wrote, by R's survey package: points and standard errors, to figures.csv.
#
# A design has unequal probabilities without replacement (pps = "brewer"). Sessions that were certain to be drawn are a stratum of their
# own, with no variance. Details that never arrived lower the probability, by the rate of their stratum. Weights are then calibrated to the
# known number of sessions or, for questions about page views, of page views.

library(survey)
options(digits = 17, survey.lonely.psu = "adjust")

here <- dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE)))
read <- function(name) read.csv(file.path(here, name), na.strings = "", stringsAsFactors = FALSE)
population <- read("population.csv")
views <- read("page_views.csv")
samples <- read("samples.csv")
samples$stratum[is.na(samples$stratum)] <- "all"
LOAD <- "loading_time_ms"

# Each session's part of every total; a load time may be missing.
views$known <- !is.na(views[[LOAD]])
views$load <- ifelse(views$known, views[[LOAD]], 0)
views$slow <- as.numeric(views$load > 2000)
views$viewing <- views$viewing_time_ms
views$viewing_known <- views$viewing * views$known
parts <- c("known", "load", "slow", "viewing", "viewing_known")
population <- merge(population, aggregate(views[parts], by = views["session_id"], FUN = sum), by = "session_id")
population$views <- population$page_view_count
population$one <- 1
population$faulty <- as.numeric(population$errors > 0)

found <- NULL
note <- function(design, of, measure, figure, by = "", group = "", calibrate = "", times = 1) {
  found <<- rbind(found, data.frame(
    design = design, of = of, measure = measure, by = by, group = group, calibrate = calibrate,
    estimate = times * as.numeric(coef(figure)), standard_error = times * as.numeric(SE(figure))
  ))
}

# The sessions of a sample that responded, with the probabilities that they were drawn and did so.
members_of <- function(name) {
  members <- merge(samples[samples$design == name, ], population, by = "session_id")
  members$cell <- paste0(members$stratum, ifelse(members$inclusion_probability >= 1, ", certain", ""))
  members$chance <- members$inclusion_probability * ave(members$responded, members$cell)
  members[members$responded == 1, ]
}

# The known totals of a column, by cell: sessions of the population that are certain are those of the sample that are.
known_by_cell <- function(members, column) {
  stratum <- if (all(members$stratum == "all")) rep("all", nrow(population)) else population$platform_name
  certain <- population$session_id %in% members$session_id[members$inclusion_probability >= 1]
  tapply(population[[column]], paste0(stratum, ifelse(certain, ", certain", "")), sum)
}

surveyed <- function(members, column) {
  totals <- known_by_cell(members, column)
  cells <- sort(unique(members$cell))
  stopifnot(setequal(cells, names(totals)))
  columns <- paste0("x", seq_along(cells))
  for (i in seq_along(cells)) members[[columns[i]]] <- members[[column]] * (members$cell == cells[i])
  design <- svydesign(ids = ~1, strata = ~cell, probs = ~chance, fpc = ~chance, pps = "brewer", data = members)
  formula <- reformulate(columns, intercept = FALSE)
  totals <- setNames(as.numeric(totals[cells]), columns)
  calibrate(design, formula, totals, variance = rep(1, length(cells)))
}

quantiles <- function(name, design) {
  rows <- merge(views[views$known, ], data.frame(session_id = design$variables$session_id, weight = weights(design)), by = "session_id")
  by_row <- svydesign(ids = ~session_id, weights = ~weight, data = rows)
  for (p in c(0.5, 0.75, 0.95)) {
    value <- as.numeric(svyquantile(~load, by_row, p, qrule = "hf1", ci = FALSE)[[1]])
    found <<- rbind(found, data.frame(
      design = name, of = "page_views", measure = sprintf("p%g(%s)", 100 * p, LOAD), by = "", group = "", calibrate = "",
      estimate = value, standard_error = NA
    ))
  }
}

for (name in unique(samples$design)) {
  members <- members_of(name)
  sessions <- surveyed(members, "one")
  note(name, "sessions", "mean(error_count)", svyratio(~errors, ~one, sessions))
  note(name, "sessions", "total(error_count)", svytotal(~errors, sessions))
  note(name, "sessions", "share(error_count > 0)", svyratio(~faulty, ~one, sessions))
  note(name, "sessions", "ratio(error_count, page_view_count)", svyratio(~errors, ~views, sessions))

  by_views <- surveyed(members, "views")
  note(name, "page_views", sprintf("mean(%s)", LOAD), svyratio(~load, ~known, by_views))
  note(name, "page_views", sprintf("total(%s)", LOAD), svytotal(~load, by_views))
  note(name, "page_views", sprintf("share(%s > 2000)", LOAD), svyratio(~slow, ~known, by_views))
  note(name, "page_views", sprintf("ratio(%s, viewing_time_ms)", LOAD), svyratio(~load, ~viewing_known, by_views))
  note(name, "page_views", "mean(viewing_time_ms)", svyratio(~viewing, ~views, by_views))
  quantiles(name, by_views)

  # Groups: domains. Their totals are ratios to the group's own page views, which are known.
  for (its in c("US", "GB", "DE")) {
    of_country <- subset(by_views, country == its)
    note(name, "page_views", sprintf("mean(%s)", LOAD), svyratio(~load, ~known, of_country), "country", its)
    its_views <- sum(population$views[population$country == its])
    note(name, "page_views", sprintf("total(%s)", LOAD), svyratio(~load, ~views, of_country), "country", its, times = its_views)
  }
}

# Weights raked to the known numbers of sessions of each value; rare values are not constrained.
name <- "calibrated"
members <- members_of(name)
for (margins in list("platform_name", c("platform_name", "country"))) {
  columns <- "one"
  for (margin in margins) {
    counts <- sort(table(members[[margin]]), decreasing = TRUE)
    common <- names(counts)[counts >= 5]
    if (length(common) == length(counts)) common <- common[-1]
    for (value in common) {
      column <- make.names(value)
      members[[column]] <- as.numeric(members[[margin]] == value)
      population[[column]] <- as.numeric(population[[margin]] == value)
      columns <- c(columns, column)
    }
  }
  design <- svydesign(ids = ~1, probs = ~chance, fpc = ~chance, pps = "brewer", data = members)
  formula <- reformulate(columns, intercept = FALSE)
  raked <- calibrate(design, formula, colSums(population[columns]), calfun = "raking", epsilon = 1e-13, maxit = 1000)
  to <- paste(margins, collapse = " ")
  note(name, "sessions", "total(error_count)", svytotal(~errors, raked), calibrate = to)
  note(name, "sessions", "mean(error_count)", svyratio(~errors, ~one, raked), calibrate = to)
  note(name, "sessions", "share(error_count > 0)", svyratio(~faulty, ~one, raked), calibrate = to)
  note(name, "sessions", "ratio(error_count, page_view_count)", svyratio(~errors, ~views, raked), calibrate = to)
}

found$estimate <- sprintf("%.15g", found$estimate)
found$standard_error <- ifelse(is.na(found$standard_error), "", sprintf("%.15g", found$standard_error))
write.csv(found, file.path(here, "figures.csv"), row.names = FALSE, quote = which(names(found) == "measure"))
cat(R.version.string, "with survey", as.character(packageVersion("survey")), ":", nrow(found), "figures\n")

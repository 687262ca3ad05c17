// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include <string>
#include <vector>

namespace dmsnap {

/// A column of a report, shown by libdevmapper's report engine.
struct ReportColumn {
    std::string id;      ///< what -o calls it
    std::string heading; ///< what stands above it
    std::string text;    ///< what `-o help` says
    bool number = false; ///< aligned to the right
};

struct ReportOptions {
    std::string fields; ///< as -o has them: "snap_name,origin"
    bool headings = true;
};

/// The whole report as text, as lvs would print it.  `rows` have one text for each column, in the columns' order.
/// Throws Error for a field that does not exist.
std::string render_report(const std::vector<ReportColumn>& columns, const std::vector<std::vector<std::string>>& rows,
    const ReportOptions& options);

} // namespace dmsnap

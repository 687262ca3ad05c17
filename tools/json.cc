// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "json.h"

#include "base/error.h"
#include "base/text.h"

#include <utility>

namespace dmsnap::tool {

bool wants_json(const Arguments& arguments)
{
    const std::string* format = arguments.value("reportformat");
    if (format == nullptr || *format == "basic")
        return false;
    if (*format == "json")
        return true;
    throw Error(
        "report format \"" + printable(*format) + "\"", "use it", "it is neither basic nor json", "one of these")
        .as(Fault::usage);
}

std::string to_text(const nlohmann::ordered_json& document, int indent)
{
    return document.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string report_text(const char* name, nlohmann::ordered_json rows)
{
    nlohmann::ordered_json report;
    report["report"] = nlohmann::ordered_json::array({{{name, std::move(rows)}}});
    return to_text(report, 2);
}

} // namespace dmsnap::tool

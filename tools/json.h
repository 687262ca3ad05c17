// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "command.h"

#include <nlohmann/json.hpp>
#include <string>

namespace dmsnap::tool {

/// True for "json", false for "basic" or nothing.  Throws Error (Fault::usage).
bool wants_json(const Arguments& arguments);

/// With its end; `indent` < 0: one line.  A foreign name may be anything: bytes that are no UTF-8 are replaced.
std::string to_text(const nlohmann::ordered_json& document, int indent);

/// A report in LVM's form, {"report": [{NAME: [ROW...]}]}, as text.
std::string report_text(const char* name, nlohmann::ordered_json rows);

} // namespace dmsnap::tool

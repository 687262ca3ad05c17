// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "bad_input.h"

#include "base/text.h"

#include <algorithm>
#include <fmt/format.h>

namespace dmsnap::test {
namespace {

bool is_quiet(char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; }

} // namespace

std::string fault_in_message(const std::string& text)
{
    if (text.empty())
        return "it said nothing";
    bool cannot = false;
    bool next_step = false;
    for (const std::string_view line : lines(text)) {
        if (!std::all_of(line.begin(), line.end(), is_quiet))
            return "a byte that steers a terminal";
        const auto at = line.find(": cannot ");
        cannot =
            cannot || (at != std::string_view::npos && at > 8 && line.find(": ", at + 9) != std::string_view::npos);
        next_step = next_step || (line.starts_with("  try: ") && line.size() > 7);
        if (!line.starts_with("dmsnap: ") && !line.starts_with("  try: "))
            return fmt::format("\"{}\" is neither a message nor a next step", line);
    }
    if (!cannot)
        return "it does not say what cannot be done";
    return next_step ? "" : "it names no next step";
}

std::string shown(const Arguments& words)
{
    std::string text;
    for (const std::string& word : words)
        text += " " + shell_word(word.substr(0, 200));
    return text;
}

Targets::Targets()
    : plain_("test-plain", fmt::format("0 131072 linear {} 0", spare_disk())),
      tiny_("test-tiny", fmt::format("0 1 linear {} 262144", spare_disk())),
      small_("test-small", fmt::format("0 4096 linear {} 264192", spare_disk())),
      origin_(linear_origin(origin_disk(), Bytes{64 << 20}, 2))
{
    tool({"create", "-n", "s1", "--store", store_disk(), origin_->device()});
    tool({"checkpoint", "-n", "c1", origin_->device()});
}

} // namespace dmsnap::test

// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "base/names.h"

#include "base/error.h"
#include "base/text.h"
#include "dm-interpose.h"

#include <algorithm>
#include <fmt/format.h>

namespace dmsnap {
namespace {

/// DM_NAME_LEN - 1 of <linux/dm-ioctl.h>.
constexpr std::size_t dm_name_max = 127;

bool allowed_in_point_name(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '_' ||
           c == '.' || c == '-';
}

std::string broken_rule(std::string_view name)
{
    if (name.empty())
        return "it is empty";
    if (name.size() > INTERPOSE_NAME_MAX)
        return fmt::format("it is longer than {} characters", INTERPOSE_NAME_MAX);
    if (name.front() == '-')
        return "it starts with \"-\"";
    if (name == "." || name == "..")
        return "\".\" and \"..\" are no names";
    if (!std::all_of(name.begin(), name.end(), allowed_in_point_name))
        return "a character is not one of A-Z a-z 0-9 + _ . -";
    return {};
}

} // namespace

PointName::PointName(std::string text) : text_(std::move(text))
{
    if (const std::string rule = broken_rule(text_); !rule.empty())
        throw Error(fmt::format("name \"{}\"", printable(text_, 160)), "use it", rule).as(Fault::usage);
}

DmName::DmName(std::string text) : text_(std::move(text))
{
    if (text_.empty() || text_.size() > dm_name_max || text_.find('/') != std::string::npos)
        throw Error(fmt::format("device name \"{}\"", printable(text_, 160)), "use it",
            fmt::format("a device-mapper name has 1 to {} characters and no \"/\"", dm_name_max));
}

} // namespace dmsnap

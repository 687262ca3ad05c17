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

bool is_alnum_or(char c, std::string_view others)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           others.find(c) != std::string_view::npos;
}

bool allowed_in_point_name(char c) { return is_alnum_or(c, "+_.-"); }
bool allowed_in_tag(char c) { return is_alnum_or(c, "_+.-/=!:&#"); }

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

std::string broken_rule_of_tag(std::string_view tag)
{
    if (tag.empty())
        return "it is empty";
    if (tag.size() > INTERPOSE_TAGS_MAX)
        return fmt::format("it is longer than {} characters", INTERPOSE_TAGS_MAX);
    if (tag.front() == '-')
        return "it starts with \"-\"";
    if (tag == "=")
        return "\"=\" alone is no tag";
    if (!std::all_of(tag.begin(), tag.end(), allowed_in_tag))
        return "a character is not one of A-Z a-z 0-9 _ + . - / = ! : & #";
    return {};
}

} // namespace

PointName::PointName(std::string text) : text_(std::move(text))
{
    if (const std::string rule = broken_rule(text_); !rule.empty())
        throw Error(fmt::format("name \"{}\"", printable(text_, 160)), "use it", rule, "another name").as(Fault::usage);
}

Tag::Tag(std::string text) : text_(std::move(text))
{
    if (const std::string rule = broken_rule_of_tag(text_); !rule.empty())
        throw Error(fmt::format("tag \"{}\"", printable(text_, 160)), "use it", rule, "another tag").as(Fault::usage);
}

Tags Tags::from_text(std::string_view text)
{
    Tags tags;
    if (!text.empty())
        for (std::string_view word : split(text, ','))
            tags.add(Tag(std::string(word)));
    return tags;
}

void Tags::add(const Tag& tag)
{
    if (std::find(tags_.begin(), tags_.end(), tag) != tags_.end())
        return;
    if (text().size() + (empty() ? 0 : 1) + tag.text().size() > INTERPOSE_TAGS_MAX)
        throw Error(fmt::format("tag \"{}\"", printable(tag.text(), 160)), "add it",
            fmt::format("all tags of a point together have at most {} characters", INTERPOSE_TAGS_MAX),
            "dmsnap change --deltag first")
            .as(Fault::usage);
    tags_.push_back(tag);
}

bool Tags::has(const Tag& tag) const { return std::find(tags_.begin(), tags_.end(), tag) != tags_.end(); }

void Tags::remove(const Tag& tag) { std::erase(tags_, tag); }

std::string Tags::text() const
{
    std::string text;
    for (const Tag& tag : tags_)
        text += (text.empty() ? "" : ",") + tag.text();
    return text;
}

DmName::DmName(std::string text) : text_(std::move(text))
{
    if (text_.empty() || text_.size() > dm_name_max || text_.find('/') != std::string::npos)
        throw Error(fmt::format("device name \"{}\"", printable(text_, 160)), "use it",
            fmt::format("a device-mapper name has 1 to {} characters and no \"/\"", dm_name_max),
            "dmsetup ls, which shows the names there are");
}

std::optional<LvmName> split_lvm_name(std::string_view dm_name)
{
    std::string group;
    for (std::size_t i = 0; i < dm_name.size(); ++i) {
        if (dm_name[i] == '-') {
            if (dm_name.substr(i + 1, 1) != "-")
                return group.empty() ? std::nullopt
                                     : std::optional<LvmName>({group, std::string(dm_name.substr(i + 1))});
            ++i; // a hyphen of the name itself is doubled
        }
        group += dm_name[i];
    }
    return std::nullopt;
}

} // namespace dmsnap

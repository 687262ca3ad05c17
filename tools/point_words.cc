// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "point_words.h"

#include "base/error.h"
#include "base/text.h"
#include "dm-interpose.h"
#include "ops/clone.h"

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fmt/format.h>
#include <fstream>
#include <iostream>
#include <istream>

namespace dmsnap::tool {
namespace {

Blob read_data(std::istream& stream, const std::string& source)
{
    Blob data(INTERPOSE_DATA_MAX + 1);
    stream.read(reinterpret_cast<char*>(data.data()), static_cast<std::streamsize>(data.size()));
    // The stream of standard input takes an error for the end.
    if (stream.bad() || (stream.fail() && !stream.eof()) || (&stream == &std::cin && std::ferror(stdin) != 0))
        throw Error(source, "read the data", "it cannot be read", "a file that can be");
    data.resize(static_cast<std::size_t>(stream.gcount()));
    if (data.size() > INTERPOSE_DATA_MAX)
        throw Error(source, "use it as data", fmt::format("it has more than {} bytes", INTERPOSE_DATA_MAX),
            "keep it elsewhere, and here what finds it there");
    return data;
}

} // namespace

std::optional<Blob> data_of(const Arguments& arguments)
{
    const std::string* source = arguments.value("data");
    if (source == nullptr)
        return std::nullopt;
    if (*source == "-")
        return read_data(std::cin, "standard input");
    std::ifstream file(*source, std::ios::binary);
    if (!file)
        throw Error("file \"" + printable(*source) + "\"", "read the data", errno, "a file that can be read");
    return read_data(file, printable(*source));
}

Via via_of(const Arguments& arguments)
{
    const std::string* via = arguments.value("via");
    if (via == nullptr || *via == "auto")
        return Via::automatic;
    if (*via == "table")
        return Via::table;
    if (*via == "hook")
        return Via::hook;
    throw Error("--via " + printable(*via), "use it", "it is none of auto, table and hook", "one of these")
        .as(Fault::usage);
}

std::chrono::milliseconds deadline_of(const Arguments& arguments)
{
    const std::string* text = arguments.value("deadline");
    if (text == nullptr)
        return std::chrono::milliseconds(INTERPOSE_DEADLINE_MS_DEFAULT);
    char* end = nullptr;
    const double seconds = std::strtod(text->c_str(), &end);
    const double ms = std::ceil(seconds * 1000);
    if (text->empty() || *end != '\0' || !(ms >= 1 && ms <= INTERPOSE_DEADLINE_MS_MAX))
        throw Error("deadline \"" + printable(*text) + "\"", "use it",
            fmt::format("it must be seconds, up to {}", INTERPOSE_DEADLINE_MS_MAX / 1000),
            fmt::format("{}", INTERPOSE_DEADLINE_MS_DEFAULT / 1000))
            .as(Fault::usage);
    return std::chrono::milliseconds(static_cast<std::int64_t>(ms));
}

std::vector<Tag> tags_of(const Arguments& arguments, const std::string& option)
{
    std::vector<Tag> tags;
    for (const std::string& text : arguments.values(option)) {
        if (option == "addtag" && text.starts_with(own_tags))
            throw Error("tag \"" + printable(text) + "\"", "use it",
                fmt::format("those that begin with {} are dmsnap's own", own_tags), "another one")
                .as(Fault::usage);
        tags.emplace_back(text);
    }
    return tags;
}

} // namespace dmsnap::tool

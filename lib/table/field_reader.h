// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "base/device_number.h"
#include "base/error.h"
#include "base/text.h"
#include "base/units.h"
#include "base/uuid.h"

#include <cerrno>
#include <fmt/format.h>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dmsnap {

/// Reads a line's fields from left to right; each read throws Error(EPROTO) where the field is missing or is no such
/// thing.  Internal to lib/table.
class FieldReader {
public:
    FieldReader(std::string_view what, std::string_view line) : what_(what), line_(line), words_(words(line)) {}

    bool empty() const { return at_ == words_.size(); }

    std::string_view text()
    {
        if (empty())
            throw bad("it ends early");
        return words_[at_++];
    }
    /// "-" is nothing.
    std::optional<std::string> optional_text()
    {
        const auto word = text();
        return word == "-" ? std::nullopt : std::optional(std::string(word));
    }
    std::uint64_t number() { return need(parse_u64(peek()), "a number"); }
    std::uint32_t small_number() { return need(parse_u32(peek()), "a number"); }
    Sectors sectors() { return {number()}; }
    Uuid uuid() { return need(Uuid::from_text(peek()), "a uuid"); }
    std::optional<Uuid> optional_uuid()
    {
        return unless_none([this] { return uuid(); });
    }
    std::optional<DeviceNumber> optional_device()
    {
        return unless_none([this] { return need(DeviceNumber::from_text(peek()), "a device"); });
    }
    std::optional<std::uint64_t> optional_number()
    {
        return unless_none([this] { return number(); });
    }
    /// "A/B"
    std::pair<std::uint64_t, std::uint64_t> pair()
    {
        const auto parts = split(peek(), '/');
        if (parts.size() != 2)
            throw bad(fmt::format("\"{}\" is no A/B", printable(peek())));
        const auto a = parse_u64(parts[0]);
        const auto b = parse_u64(parts[1]);
        if (!a || !b)
            throw bad(fmt::format("\"{}\" is no A/B", printable(peek())));
        ++at_;
        return {*a, *b};
    }
    /// One of two words.
    bool is(std::string_view yes, std::string_view no)
    {
        const auto word = text();
        if (word != yes && word != no)
            throw bad(fmt::format("\"{}\" is neither {} nor {}", printable(word), yes, no));
        return word == yes;
    }

    Error bad(const std::string& why) const
    {
        return Error(fmt::format("{} \"{}\"", what_, printable(line_)), "read it", EPROTO,
            why + "; module and tool may be of different versions");
    }

private:
    std::string_view peek()
    {
        if (empty())
            throw bad("it ends early");
        return words_[at_];
    }
    /// "-" is nothing.
    template <typename Read> auto unless_none(Read read) -> std::optional<decltype(read())>
    {
        if (peek() != "-")
            return read();
        ++at_;
        return std::nullopt;
    }
    template <typename Value> Value need(std::optional<Value> value, std::string_view kind)
    {
        if (!value)
            throw bad(fmt::format("\"{}\" is not {}", printable(words_[at_]), kind));
        ++at_;
        return *value;
    }

    std::string_view what_;
    std::string_view line_;
    std::vector<std::string_view> words_;
    std::size_t at_ = 0;
};

} // namespace dmsnap

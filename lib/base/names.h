// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dmsnap {

/// The name of a point: [A-Za-z0-9+_.-], at most 127, not starting with '-', not "." or "..".
class PointName {
public:
    /// Throws Error (Fault::usage), naming the rule that was broken.
    explicit PointName(std::string text);
    const std::string& text() const { return text_; }
    auto operator<=>(const PointName&) const = default;

private:
    std::string text_;
};

/// A word that people put on points to find them by: [A-Za-z0-9_+.-/=!:&#], not starting with '-', not "=" alone.
class Tag {
public:
    /// Throws Error (Fault::usage), naming the rule that was broken.
    explicit Tag(std::string text);
    const std::string& text() const { return text_; }
    auto operator<=>(const Tag&) const = default;

private:
    std::string text_;
};

/// The tags of a point, each once, in the order they were added.
class Tags {
public:
    /// "a,b"; an empty text is no tags.  Throws as Tag does.
    static Tags from_text(std::string_view text);

    bool empty() const { return tags_.empty(); }
    bool has(const Tag& tag) const;
    /// Does nothing if it is there already.  Throws Error (Fault::usage) if all of them become too long together.
    void add(const Tag& tag);
    /// Does nothing if it is not there.
    void remove(const Tag& tag);
    /// "a,b"
    std::string text() const;
    bool operator==(const Tags&) const = default;

private:
    std::vector<Tag> tags_;
};

/// The name of a device-mapper device, as the kernel knows it (never mangled): 1 to 127 bytes, no '/'.
class DmName {
public:
    /// Throws Error.
    explicit DmName(std::string text);
    const std::string& text() const { return text_; }
    auto operator<=>(const DmName&) const = default;

private:
    std::string text_;
};

/// What LVM calls the device of a logical volume: "VG-LV", where a "-" of the VG's own is doubled.
struct LvmName {
    std::string group;
    std::string volume; ///< as it stands there: doubled hyphens, "-tpool" and the like
};

/// Nothing if the name is not of this form.
std::optional<LvmName> split_lvm_name(std::string_view dm_name);

} // namespace dmsnap

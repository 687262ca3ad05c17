// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "session.h"
#include "world/file.h"
#include "world/overwrite_facts.h"

#include <optional>
#include <set>
#include <string>

namespace dmsnap::tool {

/// A device that is to become a copy of another one, and that nobody uses.
class CopyTarget {
public:
    static constexpr const char* operation = "make it a copy";

    /// Throws Error with what forbids it; asks if something may be lost.
    CopyTarget(const Arguments& arguments, std::string spec, const BlockDevice& origin);

    /// Nobody else gets it from here on.  Throws Error, also if it is not what it was any more.
    void claim();
    /// Somebody else may.
    void release() { file_.reset(); }

    /// Once it is claimed.
    const File& file() const { return *file_; }
    const std::string& spec() const { return spec_; }
    const BlockDevice& device() const { return facts_.device; }
    std::string path() const { return node_path(facts_.device).string(); }
    /// It, and what it lies on.
    const std::set<DeviceNumber>& below() const { return facts_.below; }

private:
    OverwriteFacts look() const;

    std::string spec_;
    BlockDevice origin_;
    OverwriteFacts facts_;
    std::optional<File> file_;
};

} // namespace dmsnap::tool

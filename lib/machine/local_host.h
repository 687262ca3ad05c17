// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "plan/host.h"

namespace dmsnap {

/// Host on this machine.
class LocalHost final : public Host {
public:
    void format_store(const StoreFormat& store) override;
    void make_store_file(
        const std::string& path, Sectors length, DeviceNumber device, std::chrono::milliseconds deadline) override;
    std::vector<Run> store_file_extents(const std::string& path) override;
    void remove_store_file(const std::string& path, DeviceNumber device) override;
    void blank_ends(const Blank& blank) override;
    void erase_signatures(const std::string& path) override;
    void sync_filesystems(const std::vector<std::string>& mount_points) override;
    Obstacle tracing_obstacle() override;
    void make_link(const std::string& path, const DmName& device) override;
    void remove_link(const std::string& path) override;
};

} // namespace dmsnap

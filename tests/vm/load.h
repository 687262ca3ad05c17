// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "base/units.h"
#include "environment.h"

#include <atomic>
#include <string>
#include <thread>

namespace dmsnap::test {

/// fio at work in a filesystem: 4 jobs at depth 16 (direct through libaio and io_uring, buffered, mapped), blocks of
/// 4 KiB to 1 MiB, each pass overwriting all of four files and verifying what it wrote. Passes follow each other
/// until stop(), which lets the last one end with its verification.
class Load {
public:
    /// Lays out the files first, so that all that is written later overwrites.
    Load(std::string directory, Bytes file_size, Random& random);
    ~Load();
    Load(const Load&) = delete;
    Load& operator=(const Load&) = delete;

    void start();
    /// Throws with fio's own words if any pass failed.
    void stop();
    bool running() const { return running_; }
    unsigned passes() const { return passes_; }

private:
    void work();

    std::string job_file_;
    std::uint64_t seed_;
    std::thread thread_;
    std::atomic<bool> stop_ = false;
    std::atomic<bool> running_ = false;
    std::atomic<unsigned> passes_ = 0;
    std::string failure_; ///< written by the thread before it ends
};

} // namespace dmsnap::test

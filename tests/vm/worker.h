// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "base/error.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>

namespace dmsnap::test {

/// Does one thing over and over in a thread of its own, until stop() or until it fails.
class Worker {
public:
    explicit Worker(std::function<void()> step) : step_(std::move(step)), thread_([this] { work(); }) {}
    ~Worker() { stop(); }
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    std::uint64_t steps() const { return steps_; }
    /// What it ended with, 0 if it did not fail.
    int error() const { return error_; }
    bool ended() const { return ended_; }
    void stop()
    {
        stop_ = true;
        if (thread_.joinable())
            thread_.join();
    }

private:
    void work()
    {
        try {
            for (; !stop_; ++steps_)
                step_();
        } catch (const Error& error) {
            error_ = error.number();
        }
        ended_ = true;
    }

    std::function<void()> step_;
    std::atomic<std::uint64_t> steps_ = 0;
    std::atomic<int> error_ = 0;
    std::atomic<bool> stop_ = false;
    std::atomic<bool> ended_ = false;
    std::thread thread_;
};

} // namespace dmsnap::test

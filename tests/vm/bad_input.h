// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// What stays as it was whatever nonsense is asked for, and how a refusal looks.
#pragma once

#include "command.h"
#include "origin.h"

#include <string>

namespace dmsnap::test {

/// What is wrong with the shape of what dmsnap said on standard error: "dmsnap: WHO: cannot OPERATION: REASON", each
/// line either that or a warning or "  try: NEXT STEP", no byte that steers a terminal. Empty if nothing is.
std::string fault_in_message(const std::string& text);

/// Words for a human reader of the log.
std::string shown(const Arguments& words);

/// An attached device of 64 MiB with a snapshot "s1" and a checkpoint "c1", and beside it "test-plain", which is not
/// attached, "test-tiny" of one sector and "test-small" of 2 MiB.
class Targets {
public:
    Targets();

    const Origin& origin() const { return *origin_; }

private:
    DmDevice plain_;
    DmDevice tiny_;
    DmDevice small_;
    std::unique_ptr<Origin> origin_;
};

} // namespace dmsnap::test

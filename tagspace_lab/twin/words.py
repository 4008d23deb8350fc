"""The words that generated pages are made of: topics, from the most to the least popular, and sentences.

A topic's label is its name; its words are what a page on it talks about, the label's own words among
them, so that even a tagger that only looks for words has a chance.
"""

from __future__ import annotations

__all__ = ["HEADINGS", "SENTENCES", "SNIPPETS", "TEMPLATES", "TITLES", "TOPICS"]

_TOPICS = """
onboarding: onboarding, new joiner, welcome plan, buddy, first week, equipment list, probation review, starter guide
security: security, threat model, access token, vulnerability, key rotation, hardening guide, audit finding, patch
deployment: deployment, release train, rollback, canary, build artefact, staging cluster, pipeline, cut-over
incident-response: incident response, outage, on-call engineer, severity, postmortem, escalation path, status page
product-planning: product planning, roadmap, milestone, quarter goal, feature request, backlog, priority, scope
data-platform: data platform, warehouse, ingestion job, lineage, data set, partition, schema change, batch load
customer-support: customer support, ticket queue, first reply, help desk, complaint, satisfaction score, macro, callback
architecture: architecture, service boundary, decision record, interface, dependency, event flow, trade-off, diagram
testing: testing, regression suite, test plan, fixture, coverage, acceptance test, flaky test, quality gate
hiring: hiring, interview, candidate, job opening, scorecard, offer letter, recruiter, take-home task
finance: finance, budget, invoice, forecast, cost centre, month end, ledger, expense report
api: api, endpoint, request body, pagination, client library, versioning, webhook, error code
monitoring: monitoring, alert rule, dashboard, metric, trace, log line, threshold, uptime
compliance: compliance, control, evidence, regulation, policy owner, retention period, certificate, attestation
design-system: design system, component, colour token, typography, layout grid, icon set, spacing scale, pattern library
mobile: mobile, app store, push message, offline mode, tablet, crash report, device farm, gesture
marketing: marketing, campaign, landing page, newsletter, audience, brand voice, press note, click rate
sales: sales, pipeline review, account plan, proposal, discount, renewal, lead, quota
networking: networking, subnet, firewall rule, load balancer, gateway, name server, latency probe, tunnel
database: database, index, replica, query plan, migration script, lock, backup window, connection pool
accessibility: accessibility, screen reader, contrast, keyboard focus, caption, alternative text, landmark, zoom level
training: training, workshop, course, learning path, exercise, trainer, certification, handout
vendor-management: vendor management, supplier, contract, service level, procurement, renewal date, tender, risk rating
legal: legal, licence, agreement, clause, counsel, liability, trademark, disclosure
search: search, ranking, synonym, relevance, crawler, facet, spelling, result page
privacy: privacy, consent, personal data, deletion request, anonymised record, data map, cookie, notice
identity: identity, single sign-on, role, directory, session, second factor, permission group, account
analytics: analytics, funnel, cohort, event tracking, report, experiment, conversion, segment
payments: payments, card, settlement, refund, chargeback, checkout, payout, fraud check
performance: performance, profiler, memory, throughput, cache, response time, benchmark, hot path
documentation: documentation, style guide, manual, changelog, page tree, glossary, reviewer, tutorial
localisation: localisation, translation, locale, string file, currency format, glossary term, right-to-left text, region
machine-learning: machine learning, model, feature store, label set, evaluation, inference, drift, notebook
infrastructure: infrastructure, virtual machine, container, region, capacity, cluster, disk, image
remote-work: remote work, home office, time zone, video call, headset, core hours, travel day, coworking desk
culture: culture, team value, feedback, recognition, offsite, retrospective, survey, ritual
facilities: facilities, meeting room, badge, floor plan, parking, kitchen, air conditioning, visitor
partnerships: partnerships, partner, integration, joint plan, referral, co-selling, reseller, certification programme
inventory: inventory, stock level, warehouse shelf, reorder point, barcode, shipment, supplier lot, cycle count
logistics: logistics, carrier, route, delivery slot, customs form, pallet, tracking number, depot
research: research, literature, hypothesis, field study, participant, finding, prototype, peer review
open-source: open source, maintainer, contribution, fork, upstream patch, community call, package, pull request
sustainability: sustainability, carbon, energy use, recycling, emission, solar panel, supplier audit, footprint
hardware: hardware, sensor, firmware, circuit board, battery, enclosure, bench test, calibration
events: events, conference, booth, speaker, agenda, registration, venue, livestream
insurance: insurance, claim, premium, coverage period, broker, deductible, policy number, assessor
healthcare: healthcare, patient, clinic, appointment, referral letter, care plan, triage, consent form
archiving: archiving, cold storage, retention label, export, record series, disposal, index card, checksum
"""

TOPICS: tuple[tuple[str, tuple[str, ...]], ...] = tuple(
    (name, tuple(words.strip().split(", ")))
    for name, words in (line.split(":", 1) for line in _TOPICS.strip().splitlines())
)

# Every sentence takes two topic words.
SENTENCES: tuple[str, ...] = (
    "Before anything else, check that the %s agrees with what is written about the %s.",
    "The team looks at the %s every second week and writes down what changed in the %s.",
    "If the %s is missing, ask in the channel, since the %s cannot go ahead without it.",
    "We moved the %s to a shared place, so that everybody who works on the %s can find it.",
    "Questions about the %s go to the owner of this page, and those about the %s to the lead.",
    "A good %s is short, has an owner, and says when the %s was last looked at.",
    "Last year the %s took three days; since the %s was made simpler it takes one.",
    "Nobody should change the %s on a Friday, unless the %s demands it.",
    "There are two kinds of %s, and only one of them touches the %s.",
    "When the %s is done, tell the others and close the %s that belongs to it.",
    "The numbers of the %s are copied by hand, which is why the %s is sometimes late.",
    "Keep the old %s for a month, then remove it together with the %s.",
    "It helps to draw the %s first and to fill in the %s afterwards.",
    "What we learned: the %s was never the trouble, the %s was.",
    "An example of a %s stands below, with the %s left out for brevity.",
    "Please do not copy the %s into other pages; link to it, and name the %s.",
    "The %s has to be agreed with two people who know the %s well.",
    "Where the %s and the %s contradict each other, the newer one counts.",
    "Plan half a day for the %s, and the rest of the week for the %s.",
    "This part describes how the %s works today and what is planned for the %s.",
)

HEADINGS: tuple[str, ...] = (
    "Background", "Goals", "How it works", "Steps", "Who to ask", "Open questions", "Checklist", "Decisions",
    "What changed", "Risks", "Examples", "Next steps", "Scope", "History",
)  # fmt: skip

TITLES: tuple[str, ...] = (
    "%s: overview", "How we handle %s", "%s guide", "Notes on %s", "%s checklist", "Introduction to %s",
    "%s in practice", "Plan for %s", "Questions about %s", "%s: decisions",
)  # fmt: skip

SNIPPETS: tuple[str, ...] = (
    'def check(item):\n    if item.size > limit && !item.done:\n        return "too large"\n    return item\n',
    "service:\n  replicas: 3\n  image: registry/app:1.4\n  env:\n    - LOG_LEVEL=info\n",
    "for host in $(cat hosts.txt); do\n  ssh $host 'uptime' < /dev/null >> report.txt\ndone\n",
    "SELECT owner, count(*) FROM items WHERE age_days < 30 GROUP BY owner;\n",
)

# Templates of near-duplicate pages: title, then a body with two topic words.
TEMPLATES: tuple[tuple[str, str], ...] = (
    (
        "Meeting notes: %s",
        "<h2>Date</h2><p>Every second week, one hour, notes by whoever speaks least.</p><h2>Participants</h2>"
        "<ul><li>Team lead</li><li>Engineers of the week</li><li>A guest, if the subject needs one</li></ul>"
        "<h2>Goals</h2><p>Agree on what comes next for the %s.</p><h2>Discussion</h2>"
        "<table><tbody><tr><th>Time</th><th>Item</th><th>Who</th><th>Notes</th></tr>"
        "<tr><td>10 min</td><td>Review of the last actions</td><td>Lead</td><td>All closed but one</td></tr>"
        "<tr><td>30 min</td><td>State of the %s</td><td>Everybody</td><td>See below</td></tr>"
        "<tr><td>10 min</td><td>Any other business</td><td>Everybody</td><td>None</td></tr></tbody></table>"
        "<h2>Actions</h2><ac:task-list><ac:task><ac:task-id>1</ac:task-id><ac:task-status>incomplete"
        "</ac:task-status><ac:task-body>Send the notes round and ask for corrections</ac:task-body></ac:task>"
        "<ac:task><ac:task-id>2</ac:task-id><ac:task-status>complete</ac:task-status><ac:task-body>Book the room "
        "for the next meeting</ac:task-body></ac:task></ac:task-list>",
    ),
    (
        "Runbook: %s",
        "<h2>When to use this runbook</h2><p>An alert names this service, or somebody reports it. Read it to the end "
        "before you start.</p><h2>First steps</h2><ol><li>Say in the channel that you are on it.</li><li>Look at the "
        "%s.</li><li>Compare with the values of yesterday at the same hour.</li><li>If the %s looks wrong, call the "
        "second person on duty.</li></ol><h2>Repair</h2><p>Restart one instance at a time and wait until it answers. "
        "Never restart all of them at once.</p><h2>Afterwards</h2><p>Write down what you saw, what you did, and when. "
        "Open a follow-up for whatever was done by hand.</p><h2>Contacts</h2><p>The rota is linked from the start "
        "page of this space.</p>",
    ),
)  # fmt: skip

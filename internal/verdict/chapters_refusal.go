package verdict

var refusals = []ReasonDoc{
	failure(Misissued, ca, "the CA has issued a certificate that it had to refuse",
		"A certificate, and the proof that nobody had earned it: no authorization was valid before, no responder of ours gave an answer, no resolver knows a record of dns-persist-01 where the CA takes them; or the CA's resolvers came to our name server, which forbids it by CAA; or the name is one that its policy has to refuse: of a documentation domain, or of a CA with a preset any that the configuration names.",
		"The CA's: it is the gravest that it can do.",
		"Do what the [runbook](runbooks/AcmeMisissuance.md) says. The certificate is in the run and in the incident, and is revoked at once."),
	failure(Misauthorized, ca, "the CA takes a name for authorized that nobody has proved",
		"The authorization became valid though nobody got the answer to its challenge. No certificate came of it: the CA refused it later, it was not finished in time, or our budget had none left to hold the proof.",
		"The CA's: what it relies on for an issuance is wrong.",
		"Do what the [runbook](runbooks/AcmeMisissuance.md) says: it is counted, an incident and alerted as `misissued` is. Read in the summary why there is no certificate."),
	failure(MisissuanceUnproven, unknown, "the CA went on where it had to refuse, and may have been right to",
		"A certificate, or a valid authorization, and something that may have entitled the CA to it; the summary says what. A certificate is kept and revoked as if it were a misissuance.",
		"Not to be told.",
		"Remove what the summary names: another responder that answers, a record at a `_validation-persist` name, an authorization for a domain above, a delegation that leads elsewhere, an agreement by which the CA knows the name without coming. If it is none of ours, treat it as `misissued`."),
	failure(NotRefused, unknown, "the CA has taken an order for a name that it has to refuse",
		"The answer to new-order is an order, and not `rejectedIdentifier`. No challenge was accepted, and nothing issued.",
		"The CA's if its policy is to refuse the name at once; some only do it later.",
		"See what the CA says about the name. If it refuses it later only, choose another name, or remove the module."),
	failure(RefusedOtherwise, unknown, "the CA has refused, but not because of what is missing",
		"A problem `dns`, `connection` or `tls` where nobody got an answer and `unauthorized` was expected. Or the authorization stayed pending until the run's time was over: a CA may try again for longer (RFC 8555 §8.2).",
		"Ours if the validators do not get as far as being told that there is no answer, or the time is too short; the CA's if its resolvers or validators are down. It is no misissuance.",
		"See whether the modules that are to succeed do, and look at the visits of the run: who came was told that there is no answer. If the CA tries again and refuses later, raise the module's `timeout`."),
}

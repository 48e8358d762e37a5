import HTTPTransport
import Logging
import ObjectStore

extension S3ObjectStore {
    public func list(
        _ request: ListRequest, _ context: RequestContext
    ) async throws(ObjectStoreError) -> ListPage {
        var call = S3Call(.list, nil, .get)
        // 1,000 keys of 1,024 bytes, each byte encoded as three, and what stands around them.
        call.answerLimit = 8 << 20
        call.query = [
            ("list-type", "2"), ("prefix", String(decoding: request.prefix, as: UTF8.self)), ("encoding-type", "url"),
            ("max-keys", String(min(max(request.maxKeys, 1), 1000))),
        ]
        if request.delimited { call.query.append(("delimiter", "/")) }
        if let startAfter = request.startAfter { call.query.append(("start-after", startAfter.description)) }
        if let continuation = request.continuation { call.query.append(("continuation-token", continuation)) }
        // A proxy's page or half an answer is not the end: the next answer may be right.
        var attempts = 0
        while true {
            let (response, _) = try call.answer(await perform(call, context), bucket: bucket)
            do throws(ObjectStoreError) {
                return try page(response, request, call)
            } catch {
                attempts += 1
                if attempts == Self.listingsOfNonsense { throw error }
            }
        }
    }

    /// A listing that makes no sense is asked for again this often.
    private static let listingsOfNonsense = 2

    private func page(
        _ response: HTTPResponse, _ request: ListRequest, _ call: S3Call
    ) throws(ObjectStoreError) -> ListPage {
        let listing: Listing
        do { listing = try Listing(response.body, prefix: request.prefix) } catch {
            throw call.invalid(
                "the listing makes no sense (\(error)).", bucket: bucket, requestID: response["x-amz-request-id"])
        }
        if listing.unreadable > 0 {
            logger.debug("listed names that no key can have", metadata: ["count": "\(listing.unreadable)"])
        }
        guard listing.isTruncated else {
            return ListPage(objects: listing.objects, commonPrefixes: listing.commonPrefixes, continuation: nil)
        }
        guard let next = listing.continuation, !next.isEmpty, next != request.continuation else {
            throw call.invalid(
                "the listing goes on but does not say where.", bucket: bucket,
                requestID: response["x-amz-request-id"])
        }
        return ListPage(objects: listing.objects, commonPrefixes: listing.commonPrefixes, continuation: next)
    }

    /// The version under `key` now, nil when there is none. By a listing: HEAD of a missing key says 403 to a caller
    /// whose policy allows listing by prefix only. The key itself sorts before everything that it is a prefix of.
    func currentVersion(
        _ key: ObjectKey, _ context: RequestContext
    ) async throws(ObjectStoreError) -> ObjectSummary? {
        let page = try await list(ListRequest(prefix: key.bytes, delimited: false, maxKeys: 1), context)
        return page.objects.first { $0.version.key == key }
    }
}
